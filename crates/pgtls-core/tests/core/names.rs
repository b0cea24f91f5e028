//! Names of every string type, valid and hostile, come out as OpenSSL and PostgreSQL print them.

use proptest::prelude::*;

use crate::prelude::*;

const UTF8: u8 = 12;
const PRINTABLE: u8 = 19;
const T61: u8 = 20;
const IA5: u8 = 22;
const UNIVERSAL: u8 = 28;
const BMP: u8 = 30;

/// Longer than the 79 characters that OpenSSL has room for when it prints a type without a name.
const LONG_TYPE: &str =
    "1.3.6.1.4.1.99999.4294967295.4294967295.4294967295.4294967295.4294967295.4294967295.7";

fn one(oid: &str, tag: u8, value: &[u8]) -> Vec<u8> {
    seq_of(&[tlv(SET, &attribute(oid, tag, value))])
}

fn parse(der: &[u8]) -> Name {
    Name::from_der(der).unwrap()
}

/// What OpenSSL makes of the same DER; `None` where it takes the whole name for invalid.
fn assert_as_openssl(der: &[u8]) -> Option<()> {
    let reference = reference::parse_name(der)?;
    let name = parse(der);
    let rfc2253 = reference::rfc2253(&reference).unwrap();
    assert_eq!(name.rfc2253(), String::from_utf8(rfc2253).unwrap());
    if let Some(oneline) = reference::oneline(&reference) {
        assert_eq!(name.oneline(), String::from_utf8(oneline).unwrap());
    }
    assert_eq!(name.common_name_bytes(), reference::common_name_bytes(&reference));
    for entry in reference.entries() {
        if entry.object().nid() != openssl::nid::Nid::UNDEF {
            let oid = Oid::from_text(&entry.object().to_string()).unwrap();
            let expected = reference::field(&reference, entry.object().nid());
            assert_eq!(name.field(&oid).map(String::into_bytes), expected);
        }
    }
    Some(())
}

/// Every byte as the only character, the first, a middle one and the last, in every type of one
/// byte a character.
#[test]
fn every_byte_at_every_place() {
    for tag in [18, PRINTABLE, T61, IA5] {
        for byte in 0..=u8::MAX {
            for value in [vec![byte], vec![byte, b'x'], vec![b'x', byte, b'x'], vec![b'x', byte]] {
                assert_as_openssl(&one("CN", tag, &value)).expect("OpenSSL takes it");
            }
        }
    }
}

/// The same for characters, in the types that can hold them.
#[test]
fn characters_at_every_place() {
    let characters =
        ['\0', '#', ' ', '\\', ',', '\u{7f}', '\u{80}', '\u{ff}', '\u{100}', '\u{20ac}'];
    for character in characters.into_iter().chain(['\u{ffff}', '\u{10000}', '\u{10ffff}']) {
        for text in [format!("{character}"), format!("{character}x"), format!("x{character}")] {
            let utf32 = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<_>>();
            assert_as_openssl(&one("CN", UTF8, text.as_bytes())).expect("OpenSSL takes it");
            assert_as_openssl(&one("CN", UNIVERSAL, &utf32)).expect("OpenSSL takes it");
            if character <= '\u{ffff}' {
                let utf16 = text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
                assert_as_openssl(&one("CN", BMP, &utf16)).expect("OpenSSL takes it");
            }
            assert_eq!(
                parse(&one("O", UNIVERSAL, &utf32)).oneline(),
                parse(&one("O", UTF8, text.as_bytes())).oneline()
            );
        }
    }
}

/// Where OpenSSL gives up, the value is its own DER, and nothing else can look like it.
#[test]
fn values_that_are_no_text_are_dumped() {
    for (tag, value, dump) in [
        (UTF8, &b"a\xff"[..], "#0C0261FF"),
        (BMP, b"\0a\0", "#1E03006100"),
        (BMP, b"\xd8\0", "#1E02D800"),
        (UNIVERSAL, b"\0\0\0", "#1C03000000"),
        (UNIVERSAL, b"\0\x11\0\0", "#1C0400110000"),
    ] {
        let der = one("CN", tag, value);
        assert!(assert_as_openssl(&der).is_none(), "OpenSSL takes {dump}");
        let name = parse(&der);
        assert_eq!(name.oneline(), format!("/CN={dump}"));
        assert_eq!(name.common_name().as_deref(), Some(dump));
        assert_eq!(name.common_name_bytes().as_deref(), Some(value));
        // In the escaped form any byte of a UTF8String can be shown.
        let rfc2253 = if tag == UTF8 { "CN=a\\FF".to_owned() } else { format!("CN={dump}") };
        assert_eq!(name.rfc2253(), rfc2253);
        // Text that spells the dump is escaped at its start.
        let spelled = parse(&one("CN", UTF8, dump.as_bytes()));
        assert_eq!(spelled.oneline(), format!("/CN=\\{dump}"));
        assert_ne!(spelled.rfc2253(), name.rfc2253());
    }
}

#[test]
fn types_that_are_no_strings_are_dumped_as_by_openssl() {
    for (tag, value, printed) in [
        (3, &[4, 0xff][..], "#030204F0"),
        (3, &[0], "#030100"),
        (13, &[5], "#0D0105"),
        (0x30, &[2, 1, 7], "#3003020107"),
    ] {
        let der = one("CN", tag, value);
        assert_as_openssl(&der).unwrap_or_else(|| panic!("OpenSSL refuses {printed}"));
        assert_eq!(parse(&der).oneline(), format!("/CN={printed}"));
    }
}

#[test]
fn types_without_a_name_are_dotted() {
    let der = one("1.3.6.1.4.1.99999.1", UTF8, b"alice");
    assert_as_openssl(&der).unwrap();
    assert_eq!(parse(&der).rfc2253(), "1.3.6.1.4.1.99999.1=#0C05616C696365");
    assert_eq!(parse(&der).oneline(), "/1.3.6.1.4.1.99999.1=alice");

    // OpenSSL cuts a long one in the RFC 2253 form, and so do we, since maps match on that; but not
    // in the other form.
    let der = one(LONG_TYPE, UTF8, b"x");
    assert_as_openssl(&der).unwrap();
    assert_eq!(parse(&der).rfc2253(), format!("{}=#0C0178", &LONG_TYPE[..79]));
    assert_eq!(parse(&der).oneline(), format!("/{LONG_TYPE}=x"));

    // One that OpenSSL finds too long to print at all.
    let mut content = vec![0x2a];
    content.resize(700, 0x81);
    content.push(1);
    let pair = seq_of(&[tlv(6, &content), tlv(UTF8, b"x")]);
    let der = seq_of(&[tlv(SET, &pair)]);
    assert_as_openssl(&der).unwrap();
    assert!(parse(&der).oneline().starts_with("/#2A8181"));
}

#[test]
fn names_read_as_the_contract_says() {
    let der = concat(&[
        tlv(SET, &attribute("C", PRINTABLE, b"DE")),
        tlv(SET, &[attribute("CN", UTF8, b"alice"), attribute("UID", IA5, b"a1")].concat()),
        tlv(SET, &attribute("CN", T61, b"Jos\xe9")),
    ]);
    let name = parse(&tlv(0x30, &der));
    assert_eq!(name.oneline(), "/C=DE/CN=alice/UID=a1/CN=José");
    assert_eq!(name.rfc2253(), "CN=Jos\\C3\\A9,UID=a1+CN=alice,C=DE");
    assert_eq!(name.common_name().as_deref(), Some("alice"));
    let rdns: Vec<_> = name.attributes().map(|attribute| attribute.rdn).collect();
    assert_eq!(rdns, [0, 1, 1, 2]);
    assert_eq!(name.field(&Oid::from_text("userId").unwrap()).as_deref(), Some("a1"));
    assert_eq!(name.field(&Oid::from_text("title").unwrap()), None);
    assert!(!name.is_empty());

    let empty = parse(&tlv(0x30, &[]));
    assert!(empty.is_empty());
    assert_eq!((empty.oneline(), empty.rfc2253(), empty.common_name()), ("", "", None));
}

#[test]
fn what_is_no_name_is_refused_with_its_place() {
    for (der, message) in [
        (vec![], "invalid name at byte 0: a name is missing"),
        (vec![0x31, 0], "invalid name at byte 0: expected a name, found tag 0x31"),
        (vec![0x30, 5, 0x31], "invalid name at byte 0: data ends before the element does"),
        (vec![0x30, 0, 0], "invalid name at byte 2: unexpected element with tag 0x00"),
        (
            seq_of(&[tlv(SET, &seq_of(&[oid("CN")]))]),
            "invalid name at byte 11: data ends where an element should be",
        ),
        (
            seq_of(&[tlv(SET, &seq_of(&[tlv(6, &[0x80, 1]), tlv(12, b"")]))]),
            "invalid name at byte 6: invalid OBJECT IDENTIFIER",
        ),
    ] {
        assert_eq!(Name::from_der(&der).unwrap_err().to_string(), message);
    }
}

fn attribute_strategy() -> impl Strategy<Value = Vec<u8>> {
    let oids = ["CN", "O", "OU", "emailAddress", "DC", "2.5.4.5", "1.3.6.1.4.1.99999.1", LONG_TYPE];
    let characters = prop_oneof![
        4 => "[a-zA-Z ]{0,6}",
        4 => "[ #,+\"\\\\<>;=/\u{0}\n\u{7f}a]{0,5}",
        2 => any::<String>(),
        1 => "[\u{80}-\u{2ff}\u{ffff}]{0,3}",
    ];
    let value = prop_oneof![
        4 => (characters, prop::sample::select(&[UTF8, PRINTABLE, T61, IA5, BMP, UNIVERSAL][..]))
            .prop_map(|(text, tag)| (tag, encode(&text, tag))),
        1 => (
            prop::sample::select(&[3_u8, 10, 12, 13, 29, 16 | 0x20, 18, 19, 20, 22, 26, 28, 30][..]),
            prop::collection::vec(any::<u8>(), 0..6),
        ),
    ];
    (prop::sample::select(oids.to_vec()), value)
        .prop_map(|(oid, (tag, value))| attribute(oid, tag, &value))
}

/// The text in the characters that the type has.
fn encode(text: &str, tag: u8) -> Vec<u8> {
    match tag {
        BMP => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        UNIVERSAL => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        UTF8 => text.as_bytes().to_vec(),
        _ => text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect(),
    }
}

fn name_strategy() -> impl Strategy<Value = Vec<u8>> {
    let rdn = prop::collection::vec(attribute_strategy(), 1..3)
        .prop_map(|attributes| tlv(SET, &attributes.concat()));
    prop::collection::vec(rdn, 0..5).prop_map(|rdns| seq_of(&rdns))
}

#[test]
fn random_names_equal_openssls() {
    let (mut taken, mut refused) = (0, 0);
    let mut runner = runner(4000);
    let counters = std::cell::RefCell::new((&mut taken, &mut refused));
    runner
        .run(&name_strategy(), |der| {
            let name = parse(&der);
            // Whatever is in it, nothing of a name can start a new line or pass the end of a C
            // string.
            for text in [name.oneline(), name.rfc2253()] {
                prop_assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{}", text);
            }
            prop_assert!(name.rfc2253().is_ascii());
            prop_assert!(!name.common_name().is_some_and(|text| text.contains('\0')));
            let mut counters = counters.borrow_mut();
            match assert_as_openssl(&der) {
                Some(()) => *counters.0 += 1,
                None => *counters.1 += 1,
            }
            Ok(())
        })
        .unwrap();
    // The comparison counts only where OpenSSL takes the name at all.
    assert!(taken > 2000 && refused > 0, "{taken} taken, {refused} refused");
}

/// Reads the RFC 2253 form back, by RFC 4514 alone.
#[test]
fn escapes_can_be_undone() {
    let mut runner = runner(2000);
    runner
        .run(&name_strategy(), |der| {
            let name = parse(&der);
            let read = unescape(name.rfc2253());
            let attributes: Vec<_> = name.attributes().collect();
            prop_assert_eq!(read.len(), attributes.len());
            for ((kind, value), attribute) in read.iter().zip(attributes.iter().rev()) {
                let short = attribute.oid.short();
                prop_assert_eq!(kind, &short[..short.len().min(79)]);
                let expected = match (attribute.oid.short_name(), attribute.tag, attribute.text()) {
                    (Some(_), UTF8, _) => Read::Text(attribute.value()),
                    (Some(_), _, Some(text)) => Read::Text(text.into_bytes()),
                    _ => Read::Dump,
                };
                match (&expected, value) {
                    (Read::Text(_), _) => prop_assert_eq!(&expected, value),
                    (Read::Dump, _) => prop_assert_eq!(&Read::Dump, value),
                }
            }
            Ok(())
        })
        .unwrap();
}

#[derive(Debug, PartialEq)]
enum Read {
    Text(Vec<u8>),
    Dump,
}

fn unescape(text: &str) -> Vec<(String, Read)> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while bytes.peek().is_some() {
        let kind: Vec<u8> = bytes.by_ref().take_while(|byte| *byte != b'=').collect();
        let mut value = Vec::new();
        let mut is_dump = bytes.peek() == Some(&b'#');
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next().unwrap() {
                    digit if digit.is_ascii_hexdigit() => {
                        let pair = [digit, bytes.next().unwrap()];
                        value.extend(der::from_hex(str::from_utf8(&pair).unwrap()));
                    }
                    special => value.push(special),
                },
                b',' | b'+' => break,
                _ => value.push(byte),
            }
        }
        // A lone `#` is no dump: there is nothing after it.
        is_dump &= value.len() > 1;
        let kind = String::from_utf8(kind).unwrap();
        out.push((kind, if is_dump { Read::Dump } else { Read::Text(value) }));
    }
    out
}

/// OpenSSL's comparison of names, which decides who issued what.
#[test]
fn names_match_where_openssl_says_so() {
    let text = "[ aAé\t]{0,4}";
    let tags = prop::sample::select(&[UTF8, 18, PRINTABLE, T61, BMP, UNIVERSAL][..]);
    let attribute = (prop::sample::select(&["CN", "O"][..]), text, tags)
        .prop_map(|(oid, text, tag)| attribute(oid, tag, &encode(&text, tag)));
    let rdn = prop::collection::vec(attribute, 1..3)
        .prop_map(|attributes| tlv(SET, &attributes.concat()));
    let name = prop::collection::vec(rdn, 0..3).prop_map(|rdns| seq_of(&rdns));
    let (mut same, mut different) = (0, 0);
    let counters = std::cell::RefCell::new((&mut same, &mut different));
    let mut runner = runner(20_000);
    runner
        .run(&(name.clone(), name), |(left, right)| {
            let [first, second] = [&left, &right].map(|der| reference::parse_name(der).unwrap());
            let matches = first.try_cmp(&second).unwrap().is_eq();
            prop_assert_eq!(parse(&left).matches(&parse(&right)), matches);
            let mut counters = counters.borrow_mut();
            *(if matches { &mut *counters.0 } else { &mut *counters.1 }) += 1;
            Ok(())
        })
        .unwrap();
    assert!(same > 200 && different > 200, "{same} the same, {different} different");
    for (left, right, matches) in [
        ("Acme  Root ", " ACME root", true),
        ("Acme Root", "AcmeRoot", false),
        ("École", "école", false),
    ] {
        let [left, right] = [left, right].map(|text| parse(&one("CN", UTF8, text.as_bytes())));
        assert_eq!(left.matches(&right), matches);
    }
}
