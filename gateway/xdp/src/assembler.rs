//! Instructions of the kernel's virtual machine, put together with labels (RFC 9669).

use std::os::fd::{AsRawFd, BorrowedFd};

/// One instruction as the kernel takes it: operation, registers, offset, immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    operation: u8,
    /// Destination in the lower four bits, source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    /// The frame pointer.
    R10,
}

/// How many octets a load or store moves.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Width {
    Octets4 = 0x00,
    Octets2 = 0x08,
    Octet = 0x10,
    Octets8 = 0x18,
}

impl Width {
    pub(crate) fn bits(self) -> i32 {
        match self {
            Self::Octet => 8,
            Self::Octets2 => 16,
            Self::Octets4 => 32,
            Self::Octets8 => 64,
        }
    }
}

/// What is done with two operands.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Arithmetic {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Or = 0x40,
    And = 0x50,
    ShiftRight = 0x70,
    Xor = 0xa0,
    Move = 0xb0,
}

/// When a jump is taken; numbers are unsigned.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Condition {
    Equal = 0x10,
    Above = 0x20,
    AnyBit = 0x40,
    NotEqual = 0x50,
}

/// The second operand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operand {
    Register(Register),
    Number(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Number(number)
    }
}

/// A place to jump to; it may be set after the jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label(usize);

/// A program being written.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    code: Vec<Instruction>,
    places: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

// Instruction classes and modes, RFC 9669 §3.
const LOAD_IMMEDIATE_64: u8 = 0x18;
const LOAD: u8 = 0x61;
const STORE_IMMEDIATE: u8 = 0x62;
const STORE: u8 = 0x63;
const ATOMIC: u8 = 0xc3;
const ALU_32: u8 = 0x04;
const ALU_64: u8 = 0x07;
const JUMP: u8 = 0x05;
const FROM_REGISTER: u8 = 0x08;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const TO_BIG_ENDIAN: u8 = 0xdc;
/// The immediate is the descriptor of a map.
const PSEUDO_MAP_FD: u8 = 1;

impl Assembler {
    pub(crate) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The next instruction is where `label` leads.
    pub(crate) fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// 64-bit arithmetic.
    pub(crate) fn alu(&mut self, what: Arithmetic, to: Register, with: impl Into<Operand>) {
        self.operate(ALU_64 | what as u8, to, with.into(), 0);
    }

    /// 32-bit arithmetic; the upper half of `to` becomes zero.
    pub(crate) fn alu_32(&mut self, what: Arithmetic, to: Register, with: impl Into<Operand>) {
        self.operate(ALU_32 | what as u8, to, with.into(), 0);
    }

    pub(crate) fn mov(&mut self, to: Register, from: impl Into<Operand>) {
        self.alu(Arithmetic::Move, to, from);
    }

    /// Turns the lower `bits` (16, 32 or 64) into network order, or back.
    pub(crate) fn swap(&mut self, register: Register, bits: i32) {
        self.emit(TO_BIG_ENDIAN, register as u8, 0, bits);
    }

    pub(crate) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.emit(LOAD | width as u8, to as u8 | (from as u8) << 4, offset, 0);
    }

    pub(crate) fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.emit(STORE | width as u8, to as u8 | (from as u8) << 4, offset, 0);
    }

    pub(crate) fn store_number(&mut self, width: Width, to: Register, offset: i16, number: i32) {
        self.emit(STORE_IMMEDIATE | width as u8, to as u8, offset, number);
    }

    /// The same, ordered against every load and store around it; `from` becomes what was there.
    pub(crate) fn ordered_add(&mut self, to: Register, offset: i16, from: Register) {
        const FETCH: i32 = 1;
        let operation = ATOMIC | Width::Octets8 as u8;
        self.emit(operation, to as u8 | (from as u8) << 4, offset, Arithmetic::Add as i32 | FETCH);
    }

    /// Adds to eight octets of memory that others add to as well.
    pub(crate) fn atomic_add(&mut self, to: Register, offset: i16, from: Register) {
        let operation = ATOMIC | Width::Octets8 as u8;
        self.emit(operation, to as u8 | (from as u8) << 4, offset, Arithmetic::Add as i32);
    }

    pub(crate) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.emit(JUMP, 0, 0, 0);
    }

    pub(crate) fn jump_if(
        &mut self,
        left: Register,
        condition: Condition,
        right: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.code.len(), label));
        self.operate(JUMP | condition as u8, left, right.into(), 0);
    }

    /// The address of a map, as functions of the kernel take it.
    pub(crate) fn map(&mut self, to: Register, map: BorrowedFd<'_>) {
        self.emit(LOAD_IMMEDIATE_64, to as u8 | PSEUDO_MAP_FD << 4, 0, map.as_raw_fd());
        self.emit(0, 0, 0, 0);
    }

    /// Calls a function of the kernel: operands in R1 to R5, which are lost, the result in R0.
    pub(crate) fn call(&mut self, function: i32) {
        self.emit(CALL, 0, 0, function);
    }

    pub(crate) fn exit(&mut self) {
        self.emit(EXIT, 0, 0, 0);
    }

    /// The program, its jumps resolved.
    ///
    /// # Panics
    /// When a label was never placed, or is out of reach: a mistake of the program's author.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let place = self.places[label.0].expect("every label is placed");
            self.code[at].offset =
                i16::try_from(place as i64 - at as i64 - 1).expect("every label is within reach");
        }
        self.code
    }

    fn operate(&mut self, operation: u8, to: Register, with: Operand, offset: i16) {
        match with {
            Operand::Register(from) => {
                let registers = to as u8 | (from as u8) << 4;
                self.emit(operation | FROM_REGISTER, registers, offset, 0);
            }
            Operand::Number(number) => self.emit(operation, to as u8, offset, number),
        }
    }

    fn emit(&mut self, operation: u8, registers: u8, offset: i16, immediate: i32) {
        self.code.push(Instruction { operation, registers, offset, immediate });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_their_labels_forwards_and_backwards() {
        let mut program = Assembler::default();
        let (start, end) = (program.label(), program.label());
        program.place(start);
        program.jump_if(Register::R1, Condition::Equal, 7, end);
        program.alu(Arithmetic::Add, Register::R1, 1);
        program.jump(start);
        program.place(end);
        program.exit();
        let code = program.finish();
        let offsets: Vec<_> = code.iter().map(|instruction| instruction.offset).collect();
        assert_eq!(offsets, [2, 0, -3, 0]);
    }

    #[test]
    fn instructions_have_the_octets_of_the_standard() {
        let mut program = Assembler::default();
        program.mov(Register::R6, Register::R1);
        program.load(Width::Octets2, Register::R3, Register::R7, 12);
        program.swap(Register::R3, 16);
        let code = program.finish();
        let octets: Vec<_> = code.iter().map(|i| (i.operation, i.registers, i.offset)).collect();
        // RFC 9669 §4.1: MOV of a register; §5.2: LDXH; §4.2: byte swap.
        assert_eq!(octets, [(0xbf, 0x16, 0), (0x69, 0x73, 12), (0xdc, 0x03, 0)]);
        assert_eq!(code[2].immediate, 16);
    }
}
