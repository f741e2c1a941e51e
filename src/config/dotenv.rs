//! The text of a `.env` file, read as phpdotenv 5 and Laravel read it. Pure.
//!
//! Follows `vlucas/phpdotenv` 5.4.1 (`Parser/Lines.php`, `Parser/EntryParser.php`, `Loader/Resolver.php`) rule by
//! rule, its oddities included, with two differences on purpose: a quote that is never closed is an error (phpdotenv
//! drops the rest of the file without a word), and a value may grow to 1 MiB by `${…}` and no further.

use std::collections::BTreeMap;

/// The longest value that `${…}` may build, in bytes.
const MAX_VALUE: usize = 1 << 20;

/// One entry of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the variable.
    pub name: String,
    /// Its value; `None` when the line is a bare name, which unsets what the file set before.
    pub value: Option<String>,
    /// Line of the file on which the entry begins, from 1.
    pub line: usize,
}

/// Why the text cannot be read; holds no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Error {
    /// Line of the file on which the bad entry begins, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What Laravel's `env()` makes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null` or `(null)`.
    Null,
    /// `true`, `(true)`, `false` or `(false)`.
    Bool(bool),
    /// Anything else; `empty` and `(empty)` are the empty text.
    Text(String),
}

impl Value {
    /// Applies the rules of `Illuminate\Support\Env::get`: words in any case, and one pair of quotes that
    /// surrounds the whole value is taken off.
    #[must_use]
    pub fn from_env(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "true" | "(true)" => return Self::Bool(true),
            "false" | "(false)" => return Self::Bool(false),
            "empty" | "(empty)" => return Self::Text(String::new()),
            "null" | "(null)" => return Self::Null,
            _ => {}
        }
        let inner = ['"', '\'']
            .iter()
            .find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
        Self::Text(
            inner
                .filter(|inner| !inner.contains('\n'))
                .unwrap_or(text)
                .to_owned(),
        )
    }
}

/// Reads `text` into its entries, in order.
///
/// `outer` is the environment, which wins over the file wherever `${NAME}` is looked up; a name that neither
/// has stays as it is written.
///
/// # Errors
/// The first entry that phpdotenv would refuse, or a quote that is never closed.
pub fn parse(text: &str, outer: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Entry>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for (line, raw) in logical_lines(text)? {
        let fail = |what| Error { line, what };
        let (name, value) = split(&raw).map_err(fail)?;
        let value = match value {
            None => {
                known.remove(&name);
                None
            }
            Some(value) => {
                let (chars, vars) = unquote(value).map_err(fail)?;
                let look_up = |name: &str| outer(name).or_else(|| known.get(name).cloned());
                let value = resolve(chars, &vars, &look_up).map_err(fail)?;
                known.insert(name.clone(), value.clone());
                Some(value)
            }
        };
        entries.push(Entry { name, value, line });
    }
    Ok(entries)
}

/// Joins the lines of double-quoted values and drops comments; each with the number of its first line.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, Error> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut open: Option<(usize, Vec<&str>)> = None;
    for (index, line) in text.split('\n').enumerate() {
        let starts = line.contains("=\"") && !stops(line, true);
        if starts || open.is_some() {
            let (first, mut buffer) = open.take().unwrap_or((index + 1, Vec::new()));
            buffer.push(line);
            if stops(line, starts) {
                lines.push((first, buffer.join("\n")));
            } else {
                open = Some((first, buffer));
            }
        } else {
            lines.push((index + 1, line.to_owned()));
        }
    }
    if let Some((line, _)) = open {
        return Err(Error {
            line,
            what: "a double quote is not closed",
        });
    }
    lines.retain(|(_, line)| {
        let line = php_trim(line);
        !line.is_empty() && !line.starts_with('#')
    });
    Ok(lines)
}

/// Whether `line` closes a double-quoted value; `started` if it also opens it.
fn stops(line: &str, started: bool) -> bool {
    if line == "\"" {
        return true;
    }
    let line = line.replace("\\\\", "");
    let quotes = line
        .as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [before, b'"'] if *before != b'\\'));
    quotes.count() > usize::from(started)
}

/// The name and what stands right of the equals sign.
fn split(entry: &str) -> Result<(String, Option<&str>), &'static str> {
    let (name, value) = match entry.split_once('=') {
        Some((name, value)) => (php_trim(name), Some(php_trim(value))),
        None => (entry, None),
    };
    if name.is_empty() {
        return Err("an equals sign without a name");
    }
    let mut name = name;
    if let Some(rest) = name.strip_prefix("export")
        && name.chars().count() > 8
        && rest.starts_with(is_space)
    {
        name = rest.trim_start_matches(is_trimmed);
    }
    for quote in ['"', '\''] {
        if let Some(inner) = name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote))
            && !inner.is_empty()
        {
            name = inner;
            break;
        }
    }
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err("a name may hold letters, digits, `_` and `.` only");
    }
    Ok((name.to_owned(), value))
}

/// Where in a value the reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Initial,
    Unquoted,
    Single,
    Double,
    Escape,
    Whitespace,
}

/// Takes quotes, escapes and the comment off a value. Also the byte positions of each `$` that may begin a `${…}`.
fn unquote(value: &str) -> Result<(String, Vec<usize>), &'static str> {
    let mut chars = String::with_capacity(value.len());
    let mut vars = Vec::new();
    let mut state = State::Initial;
    for c in value.chars() {
        state = match (state, c) {
            (State::Initial, '\'') => State::Single,
            (State::Initial, '"') => State::Double,
            (State::Initial | State::Unquoted | State::Whitespace, '#') => break,
            (State::Unquoted | State::Whitespace, c) if is_space(c) => State::Whitespace,
            (State::Whitespace, _) => return Err("a value with spaces must stand in quotes"),
            (State::Initial | State::Unquoted, c) => {
                keep(c, &mut chars, &mut vars);
                State::Unquoted
            }
            (State::Single, '\'') | (State::Double, '"') => State::Whitespace,
            (State::Single, c) => {
                chars.push(c);
                State::Single
            }
            (State::Double, '\\') => State::Escape,
            (State::Double, c) => {
                keep(c, &mut chars, &mut vars);
                State::Double
            }
            (State::Escape, c) => {
                chars.push(unescape(c).ok_or("an escape other than \\\\ \\\" \\$ \\f \\n \\r \\t \\v")?);
                State::Double
            }
        };
    }
    match state {
        State::Single | State::Double | State::Escape => Err("a quote is not closed"),
        State::Initial | State::Unquoted | State::Whitespace => Ok((chars, vars)),
    }
}

fn keep(c: char, chars: &mut String, vars: &mut Vec<usize>) {
    if c == '$' {
        vars.push(chars.len());
    }
    chars.push(c);
}

fn unescape(c: char) -> Option<char> {
    Some(match c {
        '"' | '\\' | '$' => c,
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        _ => return None,
    })
}

/// Puts values in the place of `${NAME}`, the last one first, so that names can be nested.
fn resolve(
    mut chars: String,
    vars: &[usize],
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<String, &'static str> {
    for position in vars.iter().rev() {
        let Some((head, tail)) = chars.split_at_checked(*position) else {
            continue;
        };
        let Some((name, rest)) = tail.strip_prefix("${").and_then(|tail| tail.split_once('}')) else {
            continue;
        };
        if name.is_empty() || !name.bytes().all(is_name) {
            continue;
        }
        if let Some(value) = look_up(name) {
            if head.len() + value.len() + rest.len() > MAX_VALUE {
                return Err("the value grows beyond 1 MiB");
            }
            chars = [head, &value, rest].concat();
        }
    }
    Ok(chars)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}

/// PHP's `ctype_space`: bytes only, so a non-breaking space is a letter.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

/// What PHP's `trim` takes off: not the form feed, but NUL.
fn is_trimmed(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\0')
}

fn php_trim(text: &str) -> &str {
    text.trim_matches(is_trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, Option<String>)> {
        parse(text, &|name| (name == "HOME").then(|| "/home/app".to_owned()))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect()
    }

    fn value(text: &str) -> String {
        pairs(text).pop().unwrap().1.unwrap()
    }

    #[test]
    fn plain_values_comments_and_spaces() {
        assert_eq!(value("A=b"), "b");
        assert_eq!(value("  A =  b  # c"), "b");
        assert_eq!(value("A=b#c"), "b");
        assert_eq!(value("A=#c"), "");
        assert_eq!(value("A="), "");
        assert_eq!(value("A=b=c\\n"), "b=c\\n");
        assert_eq!(value("export LONG=1"), "1");
        assert_eq!(value("\u{feff}A=б\u{a0}в"), "б\u{a0}в");
        assert_eq!(pairs("# A=1\r\n\r\n;=2".trim_end_matches(";=2")), vec![]);
        assert_eq!(
            pairs("A=1\rB"),
            vec![("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), None)]
        );
        assert_eq!(value("'A.b'=1"), "1");
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(value(r#"A='a "b" \n $c #'"#), r#"a "b" \n $c #"#);
        assert_eq!(value(r#"A="a \"b\" \\ \$HOME \t" # c"#), "a \"b\" \\ $HOME \t");
        assert_eq!(value("A=\"one\n# two\n\nthree\"\n"), "one\n# two\n\nthree");
        assert_eq!(value("A=b\"c\""), "b\"c\"");
    }

    #[test]
    fn variables_nest_and_the_environment_wins() {
        assert_eq!(value("HOME=/x\nA=${HOME}/b"), "/home/app/b");
        assert_eq!(value("A=1\nB=\"${A}-${C}\""), "1-${C}");
        assert_eq!(value("N=A\nA=deep\nB=${${N}}"), "deep");
        assert_eq!(value("A=1\nB='${A}'"), "${A}");
        assert_eq!(value("A=1\nA\nB=${A}"), "${A}");
        assert_eq!(value("A=1\nB=$A"), "$A");
    }

    #[test]
    fn errors_carry_the_line_and_no_value() {
        let error = |text: &str| parse(text, &|_| None).unwrap_err().to_string();
        assert_eq!(
            error("A=1\nB=secret two"),
            "line 2: a value with spaces must stand in quotes"
        );
        assert_eq!(
            error("A=1\n\nB=\"secret\nC=2"),
            "line 3: a double quote is not closed"
        );
        assert_eq!(error("A='secret"), "line 1: a quote is not closed");
        assert_eq!(
            error("A=\"\\q\""),
            "line 1: an escape other than \\\\ \\\" \\$ \\f \\n \\r \\t \\v"
        );
        assert_eq!(error("=x"), "line 1: an equals sign without a name");
        assert_eq!(
            error("A B=x"),
            "line 1: a name may hold letters, digits, `_` and `.` only"
        );
        assert_eq!(
            error("A=\"x\n\n\"\nexport B=1"),
            "line 4: a name may hold letters, digits, `_` and `.` only"
        );
        let bomb = "A=0123456789\n".to_owned() + &"A=${A}${A}${A}${A}${A}${A}${A}${A}\n".repeat(40);
        assert_eq!(error(&bomb), "line 7: the value grows beyond 1 MiB");
    }

    #[test]
    fn laravel_words() {
        assert_eq!(Value::from_env("(NULL)"), Value::Null);
        assert_eq!(Value::from_env("True"), Value::Bool(true));
        assert_eq!(Value::from_env("(false)"), Value::Bool(false));
        assert_eq!(Value::from_env("(empty)"), Value::Text(String::new()));
        assert_eq!(Value::from_env("'a'"), Value::Text("a".to_owned()));
        assert_eq!(Value::from_env("\"a'"), Value::Text("\"a'".to_owned()));
        assert_eq!(Value::from_env("\""), Value::Text("\"".to_owned()));
        assert_eq!(Value::from_env("nullable"), Value::Text("nullable".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s).{0,200}", tricky in "[A-B=\"'\\\\$\\{\\}# \n\r\tnx]{0,80}") {
            for text in [&text, &tricky] {
                if let Err(error) = parse(text, &|_| None) {
                    prop_assert!(error.line >= 1 && error.line <= text.split(['\n', '\r']).count());
                }
                drop(Value::from_env(text));
            }
        }

        #[test]
        fn what_is_quoted_comes_back(value in "(?s)[^\0]{0,60}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$")
                .replace('\n', "\\n").replace('\r', "\\r");
            prop_assert_eq!(pairs(&format!("A=\"{quoted}\"")), vec![("A".to_owned(), Some(value))]);
        }
    }
}
