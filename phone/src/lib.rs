//! Internet telephone software: the helper application that a click on a number starts.
