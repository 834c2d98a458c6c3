use super::*;
use crate::scenarios::Scenario;
use crate::swarm::Token;

fn of_seed(seed: u64) -> Chart {
    let (_, events) = Token::new(seed).run_with_events();
    Chart::new(format!("seed {seed}"), events)
}

/// Whether each tag is closed, in order.
fn is_well_formed(page: &str) -> bool {
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let name: String =
            tag.chars().take_while(|it| it.is_ascii_alphanumeric() || "/!".contains(*it)).collect();
        let end = tag.find('>').expect("a tag ends");
        if tag[..end].ends_with('/') || ["!doctype", "meta"].contains(&name.as_str()) {
            continue;
        }
        match name.strip_prefix('/') {
            Some(name) => {
                if open.pop().as_deref() != Some(name) {
                    return false;
                }
            }
            None => open.push(name),
        }
    }
    open.is_empty()
}

/// Goal: a page needs nothing but itself, whatever happened in its world.
#[test]
fn pages_are_whole_and_need_no_network() {
    for seed in 0..12 {
        let chart = of_seed(seed);
        assert!(chart.len() > 100, "{}", chart.len());
        let page = chart.with_note("a <note> & more").page();
        let (before, script) = page.split_once("<script>").expect("it has one");
        let markup = format!("{before}{}", script.split_once("</script>").expect("it ends").1);
        let (head, rest) = markup.split_once("<style>").expect("it has one");
        let markup = format!("{head}{}", rest.split_once("</style>").expect("it ends").1);
        assert!(is_well_formed(&markup), "seed {seed}");
        assert!(page.contains("a &lt;note&gt; &amp; more"));
        let links = page.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!links.contains(word), "seed {seed}: {word}");
        }
    }
}

#[test]
fn a_late_swap_and_a_lost_reply_are_seen_as_such() {
    let late = Scenario::by_name("a_swap_that_may_still_land_is_sent_again_unchanged");
    let (ran, worlds) = late.expect("it is there").run_with_events(None);
    ran.expect("it passes");
    let text = Chart::new("late", worlds[0].clone()).text(1000);
    assert!(text.contains("[apply-late]"), "{text}");
    assert!(text.contains("epoch 0, lists 0"), "{text}");
    let lost = Scenario::by_name("a_swap_that_lands_after_the_deadline_was_called_unknown");
    let (ran, worlds) = lost.expect("it is there").run_with_events(None);
    ran.expect("it passes");
    let chart = Chart::new("late", worlds[0].clone());
    let text = chart.text(1000);
    assert!(text.contains('◈') && text.contains("LATE"), "{text}");
    assert!(chart.page().contains("class=\"late\""));
}

#[test]
fn text_has_as_many_rows_as_it_was_asked_for() {
    let chart = of_seed(3);
    let text = chart.text(10);
    let rows = text.lines().filter(|line| line.contains('│') || line.contains('◆')).count();
    assert!(text.contains("earlier rows") && rows <= 10, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 119), "{text}");
}

/// Goal: nobody who asks for no events pays for them, and the hash knows nothing of them.
#[test]
fn events_change_nothing() {
    for seed in 0..5 {
        let plain = Token::new(seed).run(false).map(|it| it.hash).ok();
        let (ran, events) = Token::new(seed).run_with_events();
        assert_eq!(plain, ran.map(|it| it.hash).ok());
        assert!(events.is_sorted_by_key(|event| event.time));
    }
}
