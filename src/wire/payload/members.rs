//! From places in the text to the values of a payload's members.

use crate::wire::scan::{Kind, Raw, Scanner};
use crate::wire::{Error, number};

/// Where the members stand; the last of a name wins.
#[derive(Default)]
pub(super) struct Places {
    pub(super) uuid: Option<Raw>,
    pub(super) id: Option<Raw>,
    pub(super) display_name: Option<Raw>,
    pub(super) job: Option<Raw>,
    pub(super) attempts: Option<Raw>,
    pub(super) max_tries: Option<Raw>,
    pub(super) max_exceptions: Option<Raw>,
    pub(super) fail_on_timeout: Option<Raw>,
    pub(super) backoff: Option<Raw>,
    pub(super) timeout: Option<Raw>,
    pub(super) retry_until: Option<Raw>,
    pub(super) created_at: Option<Raw>,
    pub(super) delay: Option<Raw>,
    pub(super) context: Option<Raw>,
    pub(super) data: Option<Raw>,
    pub(super) command_name: Option<Raw>,
    pub(super) command: Option<Raw>,
    pub(super) batch_id: Option<Raw>,
}

impl Places {
    pub(super) fn find(text: &str) -> Result<Self, Error> {
        let mut places = Self::default();
        Scanner::new(text).document(|scanner, key| {
            let name = key.unescaped(text);
            if name == "data" {
                return places.read_data(scanner, text);
            }
            let value = Some(scanner.value()?);
            match &*name {
                "uuid" => places.uuid = value,
                "id" => places.id = value,
                "displayName" => places.display_name = value,
                "job" => places.job = value,
                "attempts" => places.attempts = value,
                "maxTries" => places.max_tries = value,
                "maxExceptions" => places.max_exceptions = value,
                "failOnTimeout" => places.fail_on_timeout = value,
                "backoff" => places.backoff = value,
                "timeout" => places.timeout = value,
                "retryUntil" => places.retry_until = value,
                "createdAt" => places.created_at = value,
                "delay" => places.delay = value,
                "illuminate:log:context" => places.context = value,
                _ => {}
            }
            Ok(())
        })?;
        Ok(places)
    }

    fn read_data(&mut self, scanner: &mut Scanner<'_>, text: &str) -> Result<(), Error> {
        (self.command_name, self.command, self.batch_id) = (None, None, None);
        if !scanner.at_object() {
            self.data = Some(scanner.value()?);
            return Ok(());
        }
        self.data = Some(scanner.object(|scanner, key| {
            let value = Some(scanner.value()?);
            match &*key.unescaped(text) {
                "commandName" => self.command_name = value,
                "command" => self.command = value,
                "batchId" => self.batch_id = value,
                _ => {}
            }
            Ok(())
        })?);
        Ok(())
    }
}

/// Turns places into values.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
}

impl Reader<'_> {
    fn wrong<T>(member: &'static str, raw: Raw, reason: &'static str) -> Result<T, Error> {
        Err(Error::Member {
            member,
            offset: raw.span().start,
            reason,
        })
    }

    pub(super) fn string_kind(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<Raw>, Error> {
        match raw {
            None => Ok(None),
            Some(raw) => match raw.kind {
                Kind::Null => Ok(None),
                Kind::String { .. } => Ok(Some(raw)),
                Kind::Number | Kind::True | Kind::False | Kind::Array | Kind::Object => {
                    Self::wrong(member, raw, "expected a string")
                }
            },
        }
    }

    pub(super) fn string(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<Box<str>>, Error> {
        Ok(self
            .string_kind(member, raw)?
            .map(|raw| raw.unescaped(self.text).into()))
    }

    /// A string, or an integer as PHP would turn it into one.
    pub(super) fn identifier(
        &self,
        member: &'static str,
        raw: Option<Raw>,
    ) -> Result<Option<Box<str>>, Error> {
        match raw {
            Some(raw) if raw.kind == Kind::Number => Ok(Some(raw.text(self.text).into())),
            other => self.string(member, other),
        }
    }

    pub(super) fn integer(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<i64>, Error> {
        let Some(raw) = raw else { return Ok(None) };
        let value = match raw.kind {
            Kind::Null => return Ok(None),
            Kind::Number => number::integer(raw.text(self.text)),
            Kind::String { .. } => number::integer(raw.unescaped(self.text).trim()),
            Kind::True | Kind::False | Kind::Array | Kind::Object => None,
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => Self::wrong(member, raw, "expected a whole number"),
        }
    }

    pub(super) fn unsigned(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<u64>, Error> {
        let Some(value) = self.integer(member, raw)? else {
            return Ok(None);
        };
        match (u64::try_from(value), raw) {
            (Err(_), Some(raw)) => Self::wrong(member, raw, "expected a number of at least 0"),
            (value, _) => Ok(value.ok()),
        }
    }

    pub(super) fn small(&self, member: &'static str, raw: Option<Raw>) -> Result<Option<u32>, Error> {
        Ok(self
            .unsigned(member, raw)?
            .map(|value| u32::try_from(value).unwrap_or(u32::MAX)))
    }

    pub(super) fn truth(&self, member: &'static str, raw: Option<Raw>) -> Result<bool, Error> {
        let Some(raw) = raw else { return Ok(false) };
        match raw.kind {
            Kind::Null | Kind::False => Ok(false),
            Kind::True => Ok(true),
            Kind::Number => Ok(number::integer(raw.text(self.text)) != Some(0)),
            Kind::String { .. } => Ok(!matches!(&*raw.unescaped(self.text), "" | "0")),
            Kind::Array | Kind::Object => Self::wrong(member, raw, "expected a boolean"),
        }
    }

    /// Laravel joins lists with commas and reads the parts with PHP's `(int)`.
    pub(super) fn backoff(&self, raw: Option<Raw>) -> Result<Option<Vec<u64>>, Error> {
        let member = "backoff";
        let Some(raw) = raw else { return Ok(None) };
        let parts = match raw.kind {
            Kind::Null => return Ok(None),
            Kind::Number => vec![number::cast(raw.text(self.text))],
            Kind::String { .. } => raw.unescaped(self.text).split(',').map(number::cast).collect(),
            Kind::Array => match serde_json::from_str::<Vec<serde_json::Value>>(raw.text(self.text)) {
                Ok(list) => list.iter().map(|item| number::cast(&scalar_text(item))).collect(),
                Err(_) => return Self::wrong(member, raw, "expected a list of numbers"),
            },
            Kind::True | Kind::False | Kind::Object => {
                return Self::wrong(member, raw, "expected a number, a string, or a list");
            }
        };
        let seconds: Vec<u64> = parts
            .into_iter()
            .map(|part| u64::try_from(part).unwrap_or(0))
            .collect();
        Ok(Some(if seconds.is_empty() { vec![0] } else { seconds }))
    }
}

fn scalar_text(item: &serde_json::Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}
