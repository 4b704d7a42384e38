//! Q.921 data links and Q.931 calls as pure state machines.
