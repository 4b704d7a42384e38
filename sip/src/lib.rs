//! SIP for the gateway and the phone: a strict screen and call legs over rsipstack.
