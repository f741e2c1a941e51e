//! Laravel's `Str::slug`, for the prefixes that are made from `APP_NAME`. Pure.

/// The slug of `title` with `separator`, which is `_` or `-`.
///
/// Follows `Illuminate\Support\Str::slug`. Letters outside of ASCII, which Laravel writes with ASCII letters by a
/// large table, are left out: whoever has such a name must set the prefixes, and is told so.
pub(super) fn slug(title: &str, separator: char) -> String {
    let flip = if separator == '-' { '_' } else { '-' };
    let mut slug = String::with_capacity(title.len());
    let separate = |slug: &mut String| {
        if !slug.is_empty() && !slug.ends_with(separator) {
            slug.push(separator);
        }
    };
    for c in title.chars() {
        match c {
            '@' => {
                separate(&mut slug);
                slug.push_str("at");
                separate(&mut slug);
            }
            c if c == separator || c == flip || matches!(c, ' ' | '\t' | '\n' | '\r') => separate(&mut slug),
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    slug.truncate(slug.trim_end_matches(separator).len());
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_laravel_does() {
        for (title, underscores, hyphens) in [
            ("Laravel", "laravel", "laravel"),
            ("Facturino", "facturino", "facturino"),
            ("My App", "my_app", "my-app"),
            (" My -- App_2! ", "my_app_2", "my-app-2"),
            ("a@b.c", "a_at_bc", "a-at-bc"),
            ("@", "at", "at"),
            ("a - _ b", "a_b", "a-b"),
            ("!!!", "", ""),
            ("App (dev)\t#1", "app_dev_1", "app-dev-1"),
        ] {
            assert_eq!(slug(title, '_'), underscores, "{title}");
            assert_eq!(slug(title, '-'), hyphens, "{title}");
        }
    }
}
