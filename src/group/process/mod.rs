//! Publish and subscribe: all members of a group receive every broadcast.
