//! The table of findings in `docs/doctor.md`.

use worker::doctor::CHECKS;

#[test]
fn the_document_lists_every_finding() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).expect("it is there");
    let listed: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = CHECKS
        .iter()
        .map(|check| {
            let severities: Vec<_> = check.severities.iter().map(ToString::to_string).collect();
            format!(
                "| `{}` | {} | {} |",
                check.code,
                severities.join(", "),
                check.finds
            )
        })
        .collect();
    assert_eq!(
        listed, expected,
        "docs/doctor.md (left) and src/doctor/catalogue.rs (right) differ"
    );
}

#[test]
fn codes_are_unique() {
    let mut codes: Vec<_> = CHECKS.iter().map(|check| check.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), CHECKS.len());
}
