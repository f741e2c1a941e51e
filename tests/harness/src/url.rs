//! URLs of database servers.

/// A server as a URL says it.
pub(crate) struct ServerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Reads `scheme://user:password@host[:port]`.
pub(crate) fn server(url: &str, port: u16) -> ServerUrl {
    let url = url::Url::parse(url).expect("the URL of a test server is a URL");
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        decoded.expect("the URL is UTF-8").into_owned()
    };
    ServerUrl {
        host: url.host_str().unwrap_or("127.0.0.1").to_owned(),
        port: url.port().unwrap_or(port),
        user: decode(url.username()),
        password: decode(url.password().unwrap_or_default()),
    }
}

/// `scheme://user:password@host:port/database`; user, password and host are given in this order.
pub(crate) fn text(scheme: &str, [user, password, host]: [&str; 3], port: u16, database: &str) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    format!(
        "{scheme}://{}:{}@{host}:{port}/{database}",
        encode(user),
        encode(password)
    )
}
