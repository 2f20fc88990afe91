//! Tests of the decisions, and the model check of the protocol.

mod any_record;
mod check;
mod model;
mod order;
