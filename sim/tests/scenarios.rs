//! Every scenario of the library, as a test of its own name.

use buffer_sim::scenarios::Scenario;

fn pass(name: &str) {
    let scenario = Scenario::by_name(name).expect("the list names it");
    match scenario.run() {
        Ok(notes) => notes.iter().for_each(|note| println!("{note}")),
        Err(failed) => panic!("{failed}"),
    }
}

macro_rules! tests {
    ($($module:ident::$name:ident $number:tt $bugs:tt $about:literal,)*) => {
        $(
            #[test]
            fn $name() {
                pass(stringify!($name));
            }
        )*
    };
}

buffer_sim::each_scenario!(tests);
