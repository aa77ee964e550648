//! A program in the kernel that lets every frame pass: what many drivers want to see on an interface
//! before they send its frames without copying.

use nix::errno::Errno;

use crate::bpf::{Link, LoadError, Program};

/// What an XDP program says of a frame that is to go on to the kernel (include/uapi/linux/bpf.h).
const XDP_PASS: i32 = 2;

/// Attaches the program to an interface. It is gone with the link: when the sweep ends, and also
/// when the process dies.
///
/// # Errors
///
/// EBUSY if another program is attached, EPERM without CAP_BPF and CAP_NET_ADMIN.
pub(super) fn attach(interface: u32) -> Result<Link, Errno> {
    let program = Program::of_instructions("memsweep_pass", &instructions(XDP_PASS));
    let program = program.map_err(|error| match error {
        LoadError::Refused { errno, .. } => errno,
        LoadError::Object(_) => Errno::EINVAL,
    })?;
    program.attach(interface)
}

/// The program that says the same of every frame. An instruction has an operation (8 bits), registers
/// (8), an offset (16) and a constant (32)
/// (<https://docs.kernel.org/bpf/standardization/instruction-set.html>).
fn instructions(verdict: i32) -> [u64; 2] {
    /// `r0 = constant`: BPF_ALU64, BPF_MOV, BPF_K.
    const MOVE: u8 = 0xb7;
    /// `return r0`: BPF_JMP, BPF_EXIT.
    const EXIT: u8 = 0x95;
    let instruction = |operation, constant: i32| {
        let [a, b, c, d] = constant.to_ne_bytes();
        u64::from_ne_bytes([operation, 0, 0, 0, a, b, c, d])
    };
    [instruction(MOVE, verdict), instruction(EXIT, 0)]
}
