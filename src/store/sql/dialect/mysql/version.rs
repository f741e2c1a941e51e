//! Which server it is, as far as it matters: whether a locked row can be skipped.

/// Whether a server that says this of itself (`select version()`) knows `SKIP LOCKED`: MySQL from 8.0.1 and
/// MariaDB from 10.6 on. Others that speak MySQL's protocol say a MySQL's number and do not keep it.
pub(super) fn skips_locked(version: &str) -> bool {
    let said = version.to_lowercase();
    // Old clients took a 10 for nonsense, so MariaDB puts a MySQL's number in front.
    let number = said.strip_prefix("5.5.5-").unwrap_or(&said);
    let number = numbers(number);
    if said.contains("mariadb") {
        number >= [10, 6, 0]
    } else if said.contains("tidb") || said.contains("planetscale") {
        false
    } else if said.contains("vitess") {
        number >= [19, 0, 0]
    } else {
        number >= [8, 0, 1]
    }
}

/// The first three numbers; what is none counts as 0.
fn numbers(version: &str) -> [u32; 3] {
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    std::array::from_fn(|_| parts.next().and_then(|part| part.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::skips_locked;

    #[test]
    fn versions_are_told_apart() {
        for (version, skips) in [
            ("5.7.44-log", false),
            ("8.0.0", false),
            ("8.0.1", true),
            ("8.0.35-27", true),
            ("8.0.mysql_aurora.3.04.0", false),
            ("8.0.28", true),
            ("8.4.3", true),
            ("9.1.0-commercial", true),
            ("5.7.mysql_aurora.2.11.4", false),
            ("5.5.5-10.5.9-MariaDB-log", false),
            ("5.5.5-10.6.12-MariaDB", true),
            ("10.5.23-MariaDB", false),
            ("10.11.6-MariaDB-0+deb12u1", true),
            ("11.4.2-MariaDB", true),
            ("8.0.30-vitess", false),
            ("19.0.1-Vitess", true),
            ("8.0.34-PlanetScale", false),
            ("8.0.11-TiDB-v7.5.0", false),
            ("", false),
        ] {
            assert_eq!(skips_locked(version), skips, "{version}");
        }
    }
}
