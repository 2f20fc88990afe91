//! Tests of the decisions, and the model check of the protocol.

mod check;
mod model;
