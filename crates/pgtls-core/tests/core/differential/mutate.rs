//! Changes at random: of any bytes, of DER whose lengths stay right, and of text with PEM blocks.

use testpki::der::put;

/// Numbers that are the same in every run (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// DER taken apart.
#[derive(Clone)]
enum Node {
    Leaf {
        tag: u8,
        content: Vec<u8>,
    },
    /// Constructed, or a string that holds DER after a prefix.
    Branch {
        tag: u8,
        prefix: Vec<u8>,
        children: Vec<Node>,
    },
    /// Bytes as they are.
    Raw(Vec<u8>),
}

impl Node {
    /// All of `der` as elements; `None` if it is none.
    fn parse_all(mut der: &[u8], is_inside_string: bool) -> Option<Vec<Node>> {
        let mut nodes = Vec::new();
        while !der.is_empty() {
            let (tag, length) = (*der.first()?, usize::from(*der.get(1)?));
            let (length, header) = match length {
                0..=0x7f => (length, 2),
                0x81 => (usize::from(*der.get(2)?), 3),
                0x82 => (usize::from(*der.get(2)?) << 8 | usize::from(*der.get(3)?), 4),
                _ => return None,
            };
            if tag & 0x1f == 0x1f || is_inside_string && !matches!(tag, 2..=6 | 0x30 | 0x31) {
                return None;
            }
            let content = der.get(header..header + length)?;
            der = &der[header + length..];
            nodes.push(Self::of(tag, content));
        }
        Some(nodes)
    }

    fn of(tag: u8, content: &[u8]) -> Node {
        let prefix = match tag {
            4 => 0,
            3 if content.first() == Some(&0) => 1,
            _ if tag & 0x20 != 0 => 0,
            _ => return Self::Leaf { tag, content: content.to_vec() },
        };
        let inside = &content[prefix..];
        let children = Self::parse_all(inside, tag & 0x20 == 0);
        match children.filter(|children| tag & 0x20 != 0 || !children.is_empty()) {
            Some(children) => Self::Branch { tag, prefix: content[..prefix].to_vec(), children },
            None => Self::Leaf { tag, content: content.to_vec() },
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::Leaf { tag, content } => put(out, *tag, content),
            Self::Branch { tag, prefix, children } => {
                let mut content = prefix.clone();
                children.iter().for_each(|child| child.write(&mut content));
                put(out, *tag, &content);
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn content(&self) -> Vec<u8> {
        match self {
            Self::Raw(_) => Vec::new(),
            Self::Leaf { content, .. } => content.clone(),
            Self::Branch { prefix, children, .. } => {
                let mut content = prefix.clone();
                children.iter().for_each(|child| child.write(&mut content));
                content
            }
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Self::Leaf { tag, .. } | Self::Branch { tag, .. } => *tag,
            Self::Raw(bytes) => bytes.first().copied().unwrap_or_default(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Branch { children, .. } => 1 + children.iter().map(Self::count).sum::<usize>(),
            _ => 1,
        }
    }

    /// Changes the node with this number, counted from the outside.
    fn change(&mut self, number: usize, random: &mut Random) {
        if number == 0 {
            *self = self.changed(random);
            return;
        }
        let Self::Branch { children, .. } = self else { return };
        let mut number = number - 1;
        for child in children {
            let count = child.count();
            if number < count {
                return child.change(number, random);
            }
            number -= count;
        }
    }

    fn changed(&self, random: &mut Random) -> Node {
        let (tag, content) = (self.tag(), self.content());
        let raw = |parts: &[&[u8]]| Self::Raw(parts.concat());
        match random.below(22) {
            // Gone, or there twice, or in another order.
            0 => raw(&[]),
            1 => raw(&[&self.bytes(), &self.bytes()]),
            2 | 3 => match self.clone() {
                Self::Branch { tag, prefix, mut children } if !children.is_empty() => {
                    let (a, b) = (random.below(children.len()), random.below(children.len()));
                    children.swap(a, b);
                    Self::Branch { tag, prefix, children }
                }
                Self::Branch { tag, prefix, .. } => {
                    Self::Branch { tag, prefix, children: vec![Self::Raw(vec![0, 0])] }
                }
                _ => raw(&[&[tag, 0]]),
            },
            // Another tag, another class, the other form.
            4 => Self::with(tag & 0xe0 | random.byte() & 0x1f, &content),
            5 => Self::with(tag ^ 0x20, &content),
            6 => Self::with(random.byte(), &content),
            7 => Self::with(
                random.one_of(&[1, 2, 3, 5, 6, 10, 12, 18, 19, 20, 22, 23, 24, 26, 28, 30, 0x30]),
                &content,
            ),
            // Other content.
            8 => Self::with(tag, &[]),
            9 => Self::with(tag, &[&[random.one_of(&[0, 0, 0xff, 0x80])][..], &content].concat()),
            10 => Self::with(tag, content.get(1..).unwrap_or_default()),
            11 => Self::with(tag, content.split_last().map_or(&[][..], |(_, rest)| rest)),
            12 => Self::with(tag, &[&content[..], &[random.byte()]].concat()),
            13 => {
                let length = random.below(9);
                Self::with(tag, &(0..length).map(|_| random.byte()).collect::<Vec<_>>())
            }
            14 => {
                let mut content = content;
                if let Some(at) = content.len().checked_sub(1) {
                    let at = random.below(at + 1);
                    content[at] = random.byte();
                }
                Self::with(tag, &content)
            }
            // Lengths that are longer than they need be, and none.
            15 | 16 => {
                let octets = 1 + random.below(9);
                let length = u64::try_from(content.len()).unwrap().to_be_bytes();
                let mut length: Vec<_> =
                    std::iter::repeat_n(0, octets.saturating_sub(8)).chain(length).collect();
                length.drain(..length.len() - octets);
                raw(&[&[tag, 0x80 | u8::try_from(octets).unwrap()], &length, &content])
            }
            17 | 18 => {
                let end: &[u8] = if random.below(4) == 0 { &[] } else { &[0, 0] };
                raw(&[&[tag | random.one_of(&[0x20, 0x20, 0x20, 0]), 0x80], &content, end])
            }
            // A string in pieces.
            19 | 20 => {
                let (a, b) = content.split_at(random.below(content.len() + 1));
                let piece = random.one_of(&[tag, tag, 4, 12]);
                let (a, b) = (Self::with(piece, a).bytes(), Self::with(piece, b).bytes());
                match random.below(3) {
                    0 => raw(&[&[tag | 0x20, 0x80], &a, &b, &[0, 0]]),
                    1 => Self::with(tag | 0x20, &Self::with(tag | 0x20, &[a, b].concat()).bytes()),
                    _ => Self::with(tag | 0x20, &[a, b].concat()),
                }
            }
            // A tag in long form.
            _ => {
                let number: &[u8] = match random.below(4) {
                    0 => &[tag & 0x1f],
                    1 => &[0x80, tag & 0x1f],
                    2 => &[0x87, 0xff, 0xff, 0xff, 0x7f],
                    _ => &[0x88, 0xff, 0xff, 0xff, 0x7f],
                };
                let rest = &Self::with(tag, &content).bytes()[1..];
                raw(&[&[tag | 0x1f], number, rest])
            }
        }
    }

    fn with(tag: u8, content: &[u8]) -> Node {
        Self::Leaf { tag, content: content.to_vec() }
    }
}

/// The DER with one or two changes.
pub(super) fn der(der: &[u8], random: &mut Random) -> Vec<u8> {
    let mut der = der.to_vec();
    if random.below(3) == 0 {
        return bytes(&der, random);
    }
    for _ in 0..1 + random.below(5) / 4 {
        // What has been broken already cannot be taken apart.
        let nodes = Node::parse_all(&der, false).unwrap_or_default();
        let Some(mut node) = nodes.into_iter().next() else { break };
        let number = random.below(node.count());
        node.change(number, random);
        der = node.bytes();
    }
    der
}

/// Bytes with one to three of them changed, put in or taken out.
fn bytes(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(6) / 4 {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, random.byte()),
            2 => bytes.truncate(at),
            3 | 4 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = random.byte(),
        }
    }
    bytes
}

/// What matters to who reads PEM.
const SPECIAL: &[u8] = b"\n\n\r \t=-:\0\x01\x0b\x7f\xa0\xef\xbb\xbfA+/";

/// Lines that may be anywhere.
const LINES: &[&[u8]] = &[
    b"",
    b" ",
    b"\xa0",
    b"\0",
    b"-",
    b"-----",
    b"=",
    b"AAAA",
    b"\xef\xbb\xbf",
    b"Proc-Type: 4,CLEAR",
    b"X: y",
    b"-----BEGIN -----",
    b"-----BEGIN CERTIFICATE-----",
    b"-----BEGIN X509 CERTIFICATE-----",
    b"-----BEGIN CERTIFICATE REQUEST-----",
    b"-----BEGIN X509 CRL-----",
    b"-----BEGIN OTHER-----",
    b"-----END CERTIFICATE-----",
    b"-----END X509 CRL-----",
    b"-----END OTHER-----",
    b"-----BEGIN CERTIFICATE-----x",
    b"\xef\xbb\xbf-----BEGIN CERTIFICATE-----",
    b"-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----",
    b"-----BEGIN OTHER-----\nX: y\n\nAAAA\n-----END OTHER-----",
    b"-----BEGIN OTHER-----\n-----END OTHER-----",
];

/// Text with PEM blocks in it, with one to three changes.
pub(super) fn text(text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..1 + random.below(3) {
        let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(Vec::from).collect();
        let at = random.below(lines.len());
        match random.below(16) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2..=4 => lines.insert(at, random.one_of(LINES).to_vec()),
            5 => {
                let other = random.below(lines.len());
                lines.swap(at, other);
            }
            // Two lines as one, and one as two.
            6 => {
                let next = if at + 1 < lines.len() { lines.remove(at + 1) } else { Vec::new() };
                lines[at].extend(next);
            }
            7 => {
                let column = random.below(lines[at].len() + 1);
                let rest = lines[at].split_off(column);
                lines.insert(at + 1, rest);
            }
            // Lines as long as OpenSSL's buffer, more or less.
            8 => {
                let length = 248 + random.below(12) - lines[at].len().min(240);
                let filler = random.one_of(b" \t\xa0A-x");
                let in_front = random.below(2) == 0;
                let filler = vec![filler; length];
                lines[at] = match in_front {
                    true => [filler, lines[at].clone()].concat(),
                    false => [lines[at].clone(), filler].concat(),
                };
            }
            9 => {
                let count = (2 + random.below(8)).min(lines.len() - at);
                let joined = lines.drain(at..at + count).collect::<Vec<_>>().concat();
                lines.insert(at, joined);
            }
            10 => {
                let end = random.one_of(&[&b"\r"[..], b" ", b"\xa0", b"\xc2\xa0", b"\0", b"\x7f"]);
                lines.iter_mut().for_each(|line| line.extend_from_slice(end));
            }
            11 => lines.truncate(at),
            12 => {
                let column = random.below(lines[at].len() + 1);
                lines[at].insert(column, random.one_of(SPECIAL));
            }
            13 => {
                let last = lines[at].len();
                lines[at].insert(last, random.one_of(SPECIAL));
            }
            _ => {
                text = bytes(&lines.join(&b'\n'), random);
                continue;
            }
        }
        text = lines.join(&b'\n');
    }
    text
}
