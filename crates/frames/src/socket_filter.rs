//! Classic BPF programs on sockets: which packets a socket gets at all (socket(7),
//! `SO_ATTACH_FILTER`).

use std::mem;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

/// An instruction (linux/filter.h).
pub(crate) type Instruction = libc::sock_filter;

/// Loads the byte at an offset.
pub(crate) const fn load_byte(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, offset)
}

/// Loads the 16 bits at an offset.
pub(crate) const fn load_half(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, offset)
}

/// Goes on if what was loaded is `value`, or else passes over `otherwise` instructions.
pub(crate) const fn expect(value: u32, otherwise: u8) -> Instruction {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    instruction(code, 0, otherwise, value)
}

/// Ends: the socket gets this many bytes of the packet, or nothing of it.
pub(crate) const fn give(bytes: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, bytes)
}

/// From now on the socket gets only what the program gives it.
///
/// # Errors
///
/// What setsockopt(2) says.
pub(crate) fn attach(socket: &impl AsFd, program: &[Instruction]) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the option's value is the `sock_fprog` above, alive and of the size that is told; it
    // points to `len` instructions, which the kernel only reads, and only during this call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    // Codes are 16 bits wide (linux/bpf_common.h).
    let code = code as u16;
    Instruction { code, jt, jf, k }
}
