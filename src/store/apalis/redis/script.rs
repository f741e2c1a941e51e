//! The scripts. Each file says what it takes and gives.

use std::sync::LazyLock;

use crate::store::redis::script::Script;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    BEAT = "beat.lua";
    CLEAR = "clear.lua";
    DEPTH = "depth.lua";
    END_ASIDE = "end_aside.lua";
    PUSH = "push.lua";
    RENEW = "renew.lua";
    RESERVE = "reserve.lua";
    SET_ASIDE = "set_aside.lua";
    SETTLE = "settle.lua";
}
