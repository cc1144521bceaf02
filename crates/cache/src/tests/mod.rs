//! What needs more than one of the modules, and their insides.

mod hit_rate;
mod panics;
