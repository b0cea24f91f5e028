//! Distinguished names.

use crate::der;

/// The string type of one attribute value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// UTF8String.
    Utf8,
    /// PrintableString.
    Printable,
    /// IA5String.
    Ia5,
    /// BMPString: the caller gives big-endian UTF-16.
    Bmp,
    /// TeletexString, in practice Latin-1.
    Teletex,
    /// UniversalString: the caller gives big-endian UTF-32.
    Universal,
}

impl Text {
    fn tag(self) -> u8 {
        match self {
            Self::Utf8 => 0x0c,
            Self::Printable => 0x13,
            Self::Teletex => 0x14,
            Self::Ia5 => 0x16,
            Self::Universal => 0x1c,
            Self::Bmp => 0x1e,
        }
    }
}

/// A distinguished name: RDNs of one or more attributes, in the order of the encoding.
///
/// From text in two notations:
/// - `"/O=Acme/CN=alice"`, as in `openssl req -subj`: in the order of the encoding;
/// - `"CN=alice,O=Acme"`, as in RFC 4514 and `clientname=DN` maps: last RDN first.
///
/// `+` joins attributes of one RDN, a backslash takes the next character literally, types are
/// OpenSSL's names or dotted OIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    rdns: Vec<Vec<Vec<u8>>>,
}

impl Name {
    /// The empty name.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds an RDN of one attribute.
    pub fn attr(self, attribute: &str, value: &str) -> Self {
        let kind = match attribute {
            "C" | "serialNumber" => Text::Printable,
            "emailAddress" | "DC" => Text::Ia5,
            _ => Text::Utf8,
        };
        self.attr_raw(attribute, kind, value.as_bytes())
    }

    /// Adds an RDN of one attribute with any string type and any bytes, an embedded NUL included.
    pub fn attr_raw(mut self, attribute: &str, kind: Text, value: &[u8]) -> Self {
        self.rdns.push(vec![attribute_der(attribute, kind, value)]);
        self
    }

    /// Joins one more attribute to the last RDN, which makes it multi-valued.
    ///
    /// # Panics
    /// If the name is empty.
    pub fn and(mut self, attribute: &str, value: &str) -> Self {
        let rdn = self.rdns.last_mut().expect("and() follows attr()");
        rdn.push(attribute_der(attribute, Text::Utf8, value.as_bytes()));
        self
    }

    /// `CN`.
    pub fn cn(self, value: &str) -> Self {
        self.attr("CN", value)
    }

    /// `O`.
    pub fn o(self, value: &str) -> Self {
        self.attr("O", value)
    }

    /// `OU`.
    pub fn ou(self, value: &str) -> Self {
        self.attr("OU", value)
    }

    /// The DER encoding.
    pub fn der(&self) -> Vec<u8> {
        let rdns: Vec<Vec<u8>> = self.rdns.iter().map(|rdn| der::set_of(rdn.clone())).collect();
        der::seq_of(&rdns)
    }

    fn parse(text: &str) -> Self {
        let (separator, body) = match text.strip_prefix('/') {
            Some(body) => ('/', body),
            None => (',', text),
        };
        if body.is_empty() {
            return Self::empty();
        }
        let mut rdns: Vec<Vec<Vec<u8>>> = split(body, separator)
            .iter()
            .map(|rdn| {
                split(rdn, '+')
                    .iter()
                    .map(|pair| {
                        let (attribute, value) = pair
                            .split_once('=')
                            .unwrap_or_else(|| panic!("{pair:?} in {text:?} is not type=value"));
                        let value = unescape(value);
                        let name = Self::empty().attr(attribute.trim(), &value);
                        name.rdns.concat().concat()
                    })
                    .collect()
            })
            .collect();
        if separator == ',' {
            rdns.reverse();
        }
        Self { rdns }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<&String> for Name {
    fn from(text: &String) -> Self {
        Self::parse(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

/// The DER encoding of the name that this text writes, see [`Name`].
pub fn name(text: &str) -> Vec<u8> {
    Name::from(text).der()
}

fn attribute_der(attribute: &str, kind: Text, value: &[u8]) -> Vec<u8> {
    der::attribute(attribute, kind.tag(), value)
}

/// Parts between unescaped separators, still escaped.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("there is always a part").push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}
