//! The media gateway between SIP and E1/T1.
