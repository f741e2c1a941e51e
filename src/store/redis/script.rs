//! The scripts, one per verb that changes anything. Each file says what it takes and gives.

use std::sync::LazyLock;

use redis::Cmd;

/// A script's text and the hash under which the server keeps it.
#[derive(Debug)]
pub(in crate::store) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    pub(in crate::store) fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The beginning of a call of a script that the server should know.
    pub(in crate::store) fn by_hash(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash);
        command
    }

    /// The beginning of a call that makes the server know it.
    pub(in crate::store) fn by_text(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text);
        command
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(in crate::store) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    BEAT = "beat.lua";
    CLEAR = "clear.lua";
    END_ASIDE = "end_aside.lua";
    INCREMENT = "increment.lua";
    LOOK = "look.lua";
    PROCESSES = "processes.lua";
    PUSH = "push.lua";
    PUSH_ONCE = "push_once.lua";
    RECOVER = "recover.lua";
    RENEW = "renew.lua";
    RESERVE = "reserve.lua";
    SETTLE = "settle.lua";
    SET_ASIDE = "set_aside.lua";
}
