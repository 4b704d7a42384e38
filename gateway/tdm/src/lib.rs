//! E1 and T1 spans: the line trait, HDLC, alarms, TDM over Ethernet and lines held in memory.
