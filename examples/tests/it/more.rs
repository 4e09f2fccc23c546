//! What goes beyond the pairs.

use natterjack_server::Server;

use crate::program::run;

fn output(name: &str, more: &[&str]) -> Vec<String> {
    let server = Server::builder().jetstream_in_memory().start_blocking().unwrap();
    let url = server.client_url();
    let output = run(name, &[&["--url", &url], more].concat());
    assert_eq!(output.exit, Some(0), "{}", output.all);
    output.shown().into_iter().skip(1).collect()
}

// Shows U-070.
#[test]
fn letters_are_kept_aside_with_their_story() {
    let shown = output("more_dead_letters", &[]);
    for line in [
        "handled order 1",
        "handled order 3",
        "5 handled, 2 kept aside",
        "letter: message 2, delivered 3: max deliveries",
        "letter: message 4, delivered 1: undecodable",
    ] {
        assert!(shown.iter().any(|shown| shown == line), "{line}: {shown:?}");
    }
}

// Shows U-070.
#[test]
fn a_service_answers_and_counts() {
    let shown = output("more_service", &["--count", "3"]);
    assert_eq!(
        shown,
        [
            "1 pieces: 3.00 EUR",
            "2 pieces: 6.00 EUR",
            "many pieces: no number of pieces",
            "eur: 3 requests, 1 errors",
        ]
    );
}

// Shows U-070.
#[test]
fn a_live_map_follows_its_bucket() {
    let shown = output("more_live_map", &[]);
    assert_eq!(shown, ["the map has 2 settings", "workers: 80 after 80 changes by 8 tasks"]);
}
