//! Our compiled programs: 64-bit little-endian ELF with one function, no data, and symbols that
//! this loader fills in (see bpf/common.h).
//!
//! Sizes and offsets are those of the ELF specification (System V ABI, chapter 4) and of Linux's
//! Documentation/bpf/llvm_reloc.rst.

use std::os::fd::{AsRawFd, BorrowedFd};

/// An instruction: code, registers, offset and immediate of RFC 9669, as one word.
pub(crate) type Instruction = u64;

/// Loads a 64-bit immediate; takes two instructions, the second one without a code.
const LOAD_IMMEDIATE: u8 = 0x18;
/// The immediate is a map's descriptor.
const PSEUDO_MAP: u64 = 1;
/// The immediate is a map's descriptor, and the place in its only element.
const PSEUDO_MAP_VALUE: u64 = 2;
/// The only relocation there is: a 64-bit immediate.
const R_BPF_64_64: u32 = 1;
const SECTION_SYMBOLS: u32 = 2;
const SECTION_RELOCATIONS: u32 = 9;
const MACHINE_BPF: u16 = 247;
/// The section of the function, after the kind of program.
const FUNCTION_SECTION: &[u8] = b"xdp";

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ObjectError {
    /// Not an ELF file for BPF.
    #[error("not an object for BPF")]
    Foreign,
    /// Something lies beyond the end of the file.
    #[error("cut off")]
    CutOff,
    /// There is no function.
    #[error("no section xdp")]
    NoFunction,
    /// A relocation of a kind that this loader does not know.
    #[error("relocation {kind} at {offset}")]
    Relocation {
        /// Its number.
        kind: u32,
        /// Where it applies, in bytes.
        offset: u64,
    },
    /// A symbol that nobody gave.
    #[error("nothing is called {0}")]
    Unknown(String),
}

/// What a symbol stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Symbol<'a> {
    /// A map.
    Map(BorrowedFd<'a>),
    /// The only element of a map.
    Value(BorrowedFd<'a>),
    /// A number.
    Constant(u64),
}

/// A program whose symbols are open.
#[derive(Debug)]
pub(crate) struct Object {
    instructions: Vec<Instruction>,
    /// The instruction that loads it, and the name.
    relocations: Vec<(usize, String)>,
}

/// A section's header.
struct Section<'a> {
    name: &'a [u8],
    kind: u32,
    /// Its contents.
    bytes: &'a [u8],
}

impl Object {
    /// Reads an object file.
    pub(crate) fn parse(file: &[u8]) -> Result<Object, ObjectError> {
        if !file.starts_with(b"\x7fELF\x02\x01") || number(file, 18, 2)? != u64::from(MACHINE_BPF) {
            return Err(ObjectError::Foreign);
        }
        let sections = sections(file)?;
        let find = |matches: &dyn Fn(&Section<'_>) -> bool| {
            sections.iter().find(|section| matches(section))
        };
        let function =
            find(&|section| section.name == FUNCTION_SECTION).ok_or(ObjectError::NoFunction)?;
        let instructions = function
            .bytes
            .chunks_exact(8)
            .map(|chunk| number(chunk, 0, 8))
            .collect::<Result<Vec<Instruction>, ObjectError>>()?;
        let symbols = find(&|section| section.kind == SECTION_SYMBOLS);
        let names = find(&|section| section.name == b".strtab");
        let (Some(symbols), Some(names)) = (symbols, names) else {
            return Err(ObjectError::CutOff);
        };
        let relocations = sections
            .iter()
            .filter(|section| section.kind == SECTION_RELOCATIONS)
            .flat_map(|section| section.bytes.chunks_exact(16))
            .map(|entry| relocation(entry, symbols.bytes, names.bytes))
            .collect::<Result<Vec<(usize, String)>, ObjectError>>()?;
        Ok(Object {
            instructions,
            relocations,
        })
    }

    /// Fills in the symbols.
    pub(crate) fn link(
        mut self,
        symbols: &[(&str, Symbol<'_>)],
    ) -> Result<Vec<Instruction>, ObjectError> {
        for (place, name) in &self.relocations {
            let symbol = symbols.iter().find(|(known, _)| known == name);
            let Some((_, symbol)) = symbol else {
                return Err(ObjectError::Unknown(name.clone()));
            };
            let [first, second] = self
                .instructions
                .get_mut(*place..place + 2)
                .and_then(|pair| <&mut [Instruction; 2]>::try_from(pair).ok())
                .ok_or(ObjectError::CutOff)?;
            if *first as u8 != LOAD_IMMEDIATE {
                return Err(ObjectError::Foreign);
            }
            // The immediate that the compiler left is to be added to the symbol.
            let addend = *first >> 32;
            let registers = *first & 0xffff_ffff;
            let (source, low, high) = match symbol {
                Symbol::Constant(value) => {
                    let value = value.wrapping_add(addend);
                    (0, value & 0xffff_ffff, value >> 32)
                }
                Symbol::Map(map) => (PSEUDO_MAP, descriptor(*map), 0),
                Symbol::Value(map) => (PSEUDO_MAP_VALUE, descriptor(*map), addend),
            };
            // The source register, bits 12 to 16, says what the immediate means.
            *first = registers | source << 12 | low << 32;
            *second = high << 32;
        }
        Ok(self.instructions)
    }
}

fn descriptor(map: BorrowedFd<'_>) -> u64 {
    u64::from(map.as_raw_fd().unsigned_abs())
}

fn sections(file: &[u8]) -> Result<Vec<Section<'_>>, ObjectError> {
    let table = number(file, 40, 8)?;
    let header_bytes = number(file, 58, 2)?;
    let count = number(file, 60, 2)?;
    let names_place = number(file, 62, 2)?;
    let header = |place: u64| {
        let start = place
            .checked_mul(header_bytes)
            .and_then(|offset| offset.checked_add(table));
        part(file, start.ok_or(ObjectError::CutOff)?, header_bytes)
    };
    let contents = |header: &[u8]| part(file, number(header, 24, 8)?, number(header, 32, 8)?);
    let names = contents(header(names_place)?)?;
    (0..count)
        .map(|place| {
            let header = header(place)?;
            Ok(Section {
                name: text(names, number(header, 0, 4)?)?,
                kind: number(header, 4, 4)? as u32,
                bytes: contents(header)?,
            })
        })
        .collect()
}

fn relocation(entry: &[u8], symbols: &[u8], names: &[u8]) -> Result<(usize, String), ObjectError> {
    const SYMBOL_BYTES: u64 = 24;
    let offset = number(entry, 0, 8)?;
    let kind = number(entry, 8, 4)? as u32;
    if kind != R_BPF_64_64 {
        return Err(ObjectError::Relocation { kind, offset });
    }
    let symbol = part(symbols, number(entry, 12, 4)? * SYMBOL_BYTES, SYMBOL_BYTES)?;
    let name = text(names, number(symbol, 0, 4)?)?;
    let place = usize::try_from(offset / 8).map_err(|_| ObjectError::CutOff)?;
    Ok((place, String::from_utf8_lossy(name).into_owned()))
}

fn part(bytes: &[u8], start: u64, length: u64) -> Result<&[u8], ObjectError> {
    let start = usize::try_from(start).map_err(|_| ObjectError::CutOff)?;
    let length = usize::try_from(length).map_err(|_| ObjectError::CutOff)?;
    start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .ok_or(ObjectError::CutOff)
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], start: u64, length: u64) -> Result<u64, ObjectError> {
    let bytes = part(bytes, start, length)?.iter().rev();
    Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The text that begins here and ends before a zero.
fn text(bytes: &[u8], start: u64) -> Result<&[u8], ObjectError> {
    let start = usize::try_from(start).map_err(|_| ObjectError::CutOff)?;
    let rest = bytes.get(start..).ok_or(ObjectError::CutOff)?;
    let end = rest.iter().position(|byte| *byte == 0);
    Ok(&rest[..end.ok_or(ObjectError::CutOff)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] = include_bytes!("../../bpf/live.bpf.o");

    #[test]
    fn our_own_object_is_read_and_wants_all_its_symbols() {
        let object = Object::parse(LIVE).unwrap();
        assert!(object.instructions.len() > 1000);
        let names: Vec<&str> = object
            .relocations
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        assert!(names.contains(&"segments"));
        assert!(names.contains(&"SIP_0"));
        let first = names[0].to_owned();
        assert_eq!(object.link(&[]).unwrap_err(), ObjectError::Unknown(first));
    }

    #[test]
    fn constants_are_written_into_both_halves() {
        let load = u64::from(LOAD_IMMEDIATE) | 0x3 << 8;
        let object = Object {
            instructions: vec![load | 5 << 32, 0, 0x95],
            relocations: vec![(0, "A".to_owned())],
        };
        let constant = Symbol::Constant(0x1122_3344_ffff_fffe);
        let linked = object.link(&[("A", constant)]).unwrap();
        assert_eq!(linked, [load | 3 << 32, 0x1122_3345 << 32, 0x95]);
    }

    #[test]
    fn damaged_objects_are_refused() {
        assert_eq!(Object::parse(b"").unwrap_err(), ObjectError::Foreign);
        assert_eq!(
            Object::parse(&[b'#'; 100]).unwrap_err(),
            ObjectError::Foreign
        );
        for end in (20..LIVE.len()).step_by(97) {
            assert!(Object::parse(&LIVE[..end]).is_err(), "{end}");
        }
    }
}
