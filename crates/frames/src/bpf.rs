//! Programs and maps in the kernel, by the bpf(2) system call.
//!
//! Just what our own objects need: arrays that are shared memory, a ring, programs whose symbols
//! are filled in ([`object`]), links that end with this process, and runs of a program over frames
//! that really leave (Linux's Documentation/bpf/bpf_prog_run.rst, "live packet mode").

pub(crate) mod object;
pub(crate) mod ring;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::libc;

use object::{Instruction, Object, ObjectError, Symbol};

/// Bytes of a memory page at most, on any machine that Linux runs on; map memory is rounded up to
/// whole pages.
const PAGE_BYTES_FALLBACK: usize = 4096;
/// Bytes of what the verifier says.
const LOG_BYTES: usize = 1 << 16;
/// Elements of an array are laid out in steps of so many bytes (kernel/bpf/arraymap.c).
const ELEMENT_ALIGN_BYTES: usize = 8;
/// Longest name of a map or program, with the closing zero.
const NAME_BYTES: usize = 16;

// include/uapi/linux/bpf.h
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
// include/uapi/linux/if_link.h
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Why a program could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// Our own object is not what this loader reads.
    #[error("the BPF object is damaged: {0}")]
    Object(#[from] ObjectError),
    /// The kernel does not take it.
    #[error("{}{}", .errno.desc(), .verdict.as_ref().map(|line| format!(" ({line})")).unwrap_or_default())]
    Refused {
        /// Why.
        errno: Errno,
        /// The last words of the verifier, if it was asked.
        verdict: Option<String>,
    },
}

/// Memory of a map that the kernel and this process share.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory belongs to the mapping until it is dropped, and all shared access to it goes
// through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a map (more, up to whole pages), to be read and, if `writable`,
    /// written.
    fn new(
        map: BorrowedFd<'_>,
        offset: usize,
        bytes: usize,
        writable: bool,
    ) -> Result<Mapping, Errno> {
        let protection = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let bytes = bytes.next_multiple_of(page_bytes());
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let start = NonNull::new(start.cast::<u8>()).ok_or(Errno::EFAULT)?;
        Ok(Mapping { start, bytes })
    }

    /// All of it, in 64-bit words.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins at a page, holds this many bytes for as long as `self` lives,
        // and is accessed by this process through these atomics only.
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr().cast::<AtomicU64>(), self.bytes / 8)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` gave, and nobody holds a reference into it any more.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.bytes);
        }
    }
}

impl AsRef<[AtomicU64]> for Mapping {
    fn as_ref(&self) -> &[AtomicU64] {
        self.words()
    }
}

/// A map.
#[derive(Debug)]
pub(crate) struct Map {
    descriptor: OwnedFd,
}

impl Map {
    /// An array of elements that programs read and write, shared with this process.
    pub(crate) fn shared(
        name: &str,
        element_bytes: usize,
        elements: usize,
    ) -> Result<(Map, Mapping), Errno> {
        let map = Map::create(
            name,
            BPF_MAP_TYPE_ARRAY,
            element_bytes,
            elements,
            BPF_F_MMAPABLE,
        )?;
        let bytes = element_bytes.next_multiple_of(ELEMENT_ALIGN_BYTES) * elements;
        let mapping = Mapping::new(map.descriptor.as_fd(), 0, bytes, true)?;
        Ok((map, mapping))
    }

    /// An array with these elements, each `N` bytes long, which programs cannot change, and after
    /// [`Map::freeze`] nobody else can.
    pub(crate) fn filled<const N: usize>(name: &str, elements: &[[u8; N]]) -> Result<Map, Errno> {
        let count = u32::try_from(elements.len()).map_err(|_| Errno::E2BIG)?;
        let map = Map::create(
            name,
            BPF_MAP_TYPE_ARRAY,
            N,
            elements.len(),
            BPF_F_RDONLY_PROG,
        )?;
        let keys: Vec<u32> = (0..count).collect();
        let mut attributes = Attributes::new();
        // in_batch, out_batch
        attributes.put_pointer(std::ptr::null());
        attributes.put_pointer(std::ptr::null());
        attributes.put_pointer(keys.as_ptr().cast());
        attributes.put_pointer(elements.as_ptr().cast());
        attributes.put_u32(count);
        attributes.put_fd(map.descriptor.as_fd());
        // elem_flags, flags
        attributes.put(&[0; 16]);
        attributes.call(BPF_MAP_UPDATE_BATCH)?;
        Ok(map)
    }

    /// From here on no system call changes it any more, nor undoes this. To be called after the
    /// program is loaded: of a frozen array with several elements the verifier cannot read constants,
    /// and takes that for an error (`bpf_map_direct_read` of kernel/bpf/verifier.c).
    pub(crate) fn freeze(&self) -> Result<(), Errno> {
        let mut attributes = Attributes::new();
        attributes.put_fd(self.descriptor.as_fd());
        attributes.call(BPF_MAP_FREEZE).map(|_| ())
    }

    /// A ring of `bytes`, a power of two and a multiple of the page size.
    pub(crate) fn ring(name: &str, bytes: usize) -> Result<Map, Errno> {
        Map::create(name, BPF_MAP_TYPE_RINGBUF, 0, bytes, 0)
    }

    fn create(
        name: &str,
        kind: u32,
        element_bytes: usize,
        elements: usize,
        flags: u32,
    ) -> Result<Map, Errno> {
        let too_large = |_| Errno::E2BIG;
        let is_array = kind == BPF_MAP_TYPE_ARRAY;
        let mut attributes = Attributes::new();
        attributes.put_u32(kind);
        attributes.put_u32(if is_array { 4 } else { 0 });
        attributes.put_u32(u32::try_from(element_bytes).map_err(too_large)?);
        attributes.put_u32(u32::try_from(elements).map_err(too_large)?);
        attributes.put_u32(flags);
        // inner_map_fd, numa_node
        attributes.put_u32(0);
        attributes.put_u32(0);
        attributes.put_name(name);
        Ok(Map {
            descriptor: attributes.call_for_descriptor(BPF_MAP_CREATE)?,
        })
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A program in the kernel.
#[derive(Debug)]
pub(crate) struct Program {
    descriptor: OwnedFd,
}

/// A program that is attached to an interface, until this is dropped or this process ends.
#[derive(Debug)]
pub(crate) struct Link {
    descriptor: OwnedFd,
}

impl Drop for Link {
    fn drop(&mut self) {
        // Closing does it as well, but not while a process that somebody is just starting still has
        // a copy of the descriptor. If the interface is gone, so is the link.
        let mut attributes = Attributes::new();
        attributes.put_fd(self.descriptor.as_fd());
        let _ = attributes.call(BPF_LINK_DETACH);
    }
}

impl Program {
    /// Loads an XDP program: the only function of an object, with its symbols filled in.
    pub(crate) fn xdp(
        name: &str,
        object: &[u8],
        symbols: &[(&str, Symbol<'_>)],
    ) -> Result<Program, LoadError> {
        let instructions = Object::parse(object)?.link(symbols)?;
        Program::of_instructions(name, &instructions)
    }

    /// Loads an XDP program that is given as instructions.
    pub(crate) fn of_instructions(
        name: &str,
        instructions: &[Instruction],
    ) -> Result<Program, LoadError> {
        let load = |log: &mut [u8]| {
            let mut attributes = Attributes::new();
            attributes.put_u32(BPF_PROG_TYPE_XDP);
            attributes.put_u32(u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?);
            attributes.put_pointer(instructions.as_ptr().cast());
            attributes.put_pointer(c"MIT".as_ptr().cast());
            attributes.put_u32(u32::from(!log.is_empty()));
            attributes.put_u32(u32::try_from(log.len()).map_err(|_| Errno::E2BIG)?);
            attributes.put_pointer(if log.is_empty() {
                std::ptr::null()
            } else {
                log.as_mut_ptr().cast_const().cast()
            });
            // kern_version, prog_flags
            attributes.put_u32(0);
            attributes.put_u32(0);
            attributes.put_name(name);
            // prog_ifindex
            attributes.put_u32(0);
            attributes.put_u32(BPF_XDP);
            attributes.call_for_descriptor(BPF_PROG_LOAD)
        };
        match load(&mut []) {
            Ok(descriptor) => Ok(Program { descriptor }),
            // Whoever may not load programs is told no more.
            Err(errno) if errno != Errno::EPERM => {
                let mut log = vec![0; LOG_BYTES];
                let verdict = load(&mut log).err().and_then(|_| last_words(&log));
                Err(LoadError::Refused { errno, verdict })
            }
            Err(errno) => Err(LoadError::Refused {
                errno,
                verdict: None,
            }),
        }
    }

    /// Attaches it to an interface: in the driver, or where the driver cannot, before the network
    /// stack.
    pub(crate) fn attach(&self, interface: u32) -> Result<Link, Errno> {
        let attach = |flags| {
            let mut attributes = Attributes::new();
            attributes.put_fd(self.descriptor.as_fd());
            attributes.put_u32(interface);
            attributes.put_u32(BPF_XDP);
            attributes.put_u32(flags);
            attributes.call_for_descriptor(BPF_LINK_CREATE)
        };
        let descriptor = match attach(XDP_FLAGS_DRV_MODE) {
            Ok(descriptor) => descriptor,
            // Something else is attached: that is no reason to try the other way.
            Err(errno @ (Errno::EBUSY | Errno::EEXIST | Errno::EPERM)) => return Err(errno),
            Err(_) => attach(XDP_FLAGS_SKB_MODE)?,
        };
        Ok(Link { descriptor })
    }

    /// Runs it over `repeat` copies of a frame that is told to come from this interface, in batches
    /// of `batch` frames. What the program redirects or transmits really leaves. Returns
    /// [`Errno::EINTR`] if a signal came before the end.
    pub(crate) fn run_live(
        &self,
        frame: &[u8],
        interface: u32,
        repeat: u32,
        batch: u32,
    ) -> Result<(), Errno> {
        let length = u32::try_from(frame.len()).map_err(|_| Errno::E2BIG)?;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
        let context = [0, length, 0, interface, 0, 0];
        let mut attributes = Attributes::new();
        attributes.put_fd(self.descriptor.as_fd());
        // retval
        attributes.put_u32(0);
        attributes.put_u32(length);
        // data_size_out
        attributes.put_u32(0);
        attributes.put_pointer(frame.as_ptr().cast());
        attributes.put_pointer(std::ptr::null());
        attributes.put_u32(repeat);
        // duration
        attributes.put_u32(0);
        attributes.put_u32(size_of_val(&context) as u32);
        // ctx_size_out
        attributes.put_u32(0);
        attributes.put_pointer(context.as_ptr().cast());
        attributes.put_pointer(std::ptr::null());
        attributes.put_u32(BPF_F_TEST_XDP_LIVE_FRAMES);
        // cpu
        attributes.put_u32(0);
        attributes.put_u32(batch);
        attributes.call(BPF_PROG_TEST_RUN).map(|_| ())
    }
}

/// The name of a program by its number, as `ip link` shows it; `None` if it has none, or is gone.
pub(crate) fn program_name(id: u32) -> Option<String> {
    /// Where `name` stands in `struct bpf_prog_info`.
    const NAME_OFFSET: usize = 64;
    let mut attributes = Attributes::new();
    attributes.put_u32(id);
    let descriptor = attributes.call_for_descriptor(BPF_PROG_GET_FD_BY_ID).ok()?;
    let mut info = [0u64; (NAME_OFFSET + NAME_BYTES) / 8];
    let mut attributes = Attributes::new();
    attributes.put_fd(descriptor.as_fd());
    attributes.put_u32(size_of_val(&info) as u32);
    attributes.put_pointer(info.as_mut_ptr().cast_const().cast());
    attributes.call(BPF_OBJ_GET_INFO_BY_FD).ok()?;
    let bytes: Vec<u8> = info[NAME_OFFSET / 8..]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .take_while(|byte| *byte != 0)
        .collect();
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty()).then_some(name)
}

/// The processors that programs can run on, as maps with one element for each are numbered.
pub(crate) fn possible_processors() -> usize {
    // SAFETY: takes and touches no memory.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    usize::try_from(count).unwrap_or(1).max(1)
}

fn page_bytes() -> usize {
    // SAFETY: takes and touches no memory.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(PAGE_BYTES_FALLBACK)
}

/// The verifier's last line but its statistics.
fn last_words(log: &[u8]) -> Option<String> {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    let line = text
        .lines()
        .rfind(|line| !line.is_empty() && !line.starts_with("processed "))?;
    Some(line.to_owned())
}

/// A `union bpf_attr` that is being filled, field by field.
struct Attributes {
    words: [u64; 18],
    length: usize,
}

impl Attributes {
    fn new() -> Attributes {
        Attributes {
            words: [0; 18],
            length: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let place = self.length % 8;
            let word = &mut self.words[self.length / 8];
            let mut whole = word.to_ne_bytes();
            whole[place] = *byte;
            *word = u64::from_ne_bytes(whole);
            self.length += 1;
        }
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_ne_bytes());
    }

    fn put_fd(&mut self, descriptor: BorrowedFd<'_>) {
        self.put(&descriptor.as_raw_fd().to_ne_bytes());
    }

    /// Pointers are 64-bit numbers at multiples of 8.
    fn put_pointer(&mut self, pointer: *const libc::c_void) {
        self.length = self.length.next_multiple_of(8);
        self.put(&(pointer as usize as u64).to_ne_bytes());
    }

    fn put_name(&mut self, name: &str) {
        let mut bytes = [0; NAME_BYTES];
        for (byte, letter) in bytes.iter_mut().zip(name.bytes().take(NAME_BYTES - 1)) {
            *byte = letter;
        }
        self.put(&bytes);
    }

    fn call(&mut self, command: libc::c_long) -> Result<RawFd, Errno> {
        let length = self.length.next_multiple_of(8);
        // SAFETY: the attributes are as long as said, and every pointer among them is to memory
        // that the caller keeps while this call lasts, of the length that stands beside it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.words.as_mut_ptr(),
                length as libc::c_uint,
            )
        };
        Errno::result(result).map(|value| value as RawFd)
    }

    fn call_for_descriptor(&mut self, command: libc::c_long) -> Result<OwnedFd, Errno> {
        let descriptor = self.call(command)?;
        // SAFETY: the kernel has just opened it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }
}
