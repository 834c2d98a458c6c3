use super::*;

#[test]
fn what_holds_cannot_be_shrunk() {
    let token = Token::new(7);
    let error = shrink(&token, Duration::from_secs(1), |_| {}).expect_err("it holds");
    assert_eq!(error, ShrinkError::Holds(token));
    let long = Token { load: Load::Long, ..Token::new(7) };
    let error = shrink(&long, Duration::from_secs(1), |_| {}).expect_err("it is long");
    assert_eq!(error, ShrinkError::TooLong(long));
}

/// Goal: where nothing is out of the usual nothing is wrong, and little happens.
#[test]
fn a_calm_world_holds_and_is_small() {
    for seed in 0..10 {
        let calm = Token { calm: true, ..Token::new(seed) };
        let report = calm.run(false).expect("all is as usual");
        assert!(report.requests < 200, "{}", report.requests);
        assert!(report.faults.is_empty(), "seed {seed}: {:?}", report.faults);
        let again = calm.to_string().parse::<Token>().expect("it is a token").run(false);
        assert_eq!(again.map(|it| it.hash).ok(), Some(report.hash));
    }
}

/// Goal: few decisions, the same invariant, and a token that repeats it.
#[cfg(buffer_sim)]
#[test]
fn planted_bugs_are_shrunk_to_few_decisions() {
    use buffer_core::hooks::Bug;

    for bug in [Bug::AppendTwiceAfterConflict, Bug::SettledBeforeSwap, Bug::DequeueOneTooFar] {
        let with = |seed| Token { bug: Some(bug), ..Token::new(seed) };
        let first = (0..1000).map(with).find_map(|it| it.run(false).err().map(|why| (it, why)));
        let (token, failure) = first.expect("it is found");
        let shrunk = shrink(&token, Duration::from_secs(30), |_| {}).expect("it fails");
        let name = bug.name();
        assert!(shrunk.decisions.len() <= 15, "{name}: {:#?}", shrunk.decisions);
        assert_eq!(shrunk.failure.invariant, failure.invariant, "{name}");
        let read: Token = shrunk.token.to_string().parse().expect("it is a token");
        let again = read.run(false).expect_err("it fails");
        assert!(again.is_like(&failure), "{name}: {again}");
        assert!(shrunk.test().contains(&read.to_string()), "{}", shrunk.test());
        assert!(Token { bug: None, ..read }.run(false).is_ok(), "{name}: without the bug it holds");
    }
}
