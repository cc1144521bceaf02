//! What a node has of the shard.

pub const NODES: usize = 3;

/// An epoch, and how many writes of that epoch there had been.
pub type Version = (u8, u8);

/// What a node has of the key: the number of the write, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copy {
    pub version: Version,
    pub write: Option<u8>,
}

/// What the owner has sent to its replicas, and has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pending {
    pub copy: Copy,
    /// Who has answered that it has it.
    pub acknowledged: [bool; NODES],
}

/// What one has answered to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    NotYet,
    /// It has promised the epoch, and has this copy, if it has one that is complete.
    Promised(Option<Copy>),
}

impl Answer {
    pub fn copy(self) -> Option<Copy> {
        match self {
            Self::NotYet => None,
            Self::Promised(copy) => copy,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Nothing,
    /// Of the owner of this epoch, which is filling it.
    Filling {
        epoch: u8,
    },
    /// Of the owner of this epoch: complete.
    Replica {
        epoch: u8,
        copy: Copy,
    },
    /// What it has itself, and what each of the others has answered.
    Claiming {
        epoch: u8,
        own: Option<Copy>,
        answers: [Answer; NODES],
    },
    Owner(Owner),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    pub epoch: u8,
    /// What it shows.
    pub copy: Copy,
    pub pending: Option<Pending>,
    /// Whom it counts on.
    pub replicas: [bool; NODES],
    /// Who has a copy from before.
    pub old: [bool; NODES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not by itself")]
pub struct Node {
    pub up: bool,
    /// Nothing arrives there, and nothing comes from there but what was sent before.
    pub cut: bool,
    /// Whether it knows that no other one can have taken it for dead.
    pub certain: bool,
    /// Whether the others have taken it for dead.
    pub expelled: bool,
    /// The latest epoch that it knows of.
    pub promised: u8,
    pub role: Role,
}

impl Node {
    pub fn new() -> Self {
        Self { up: true, cut: false, certain: true, expelled: false, promised: 0, role: Role::Nothing }
    }

    pub fn is_well(&self) -> bool {
        self.up && !self.cut && self.certain && !self.expelled
    }

    pub fn owner(&self) -> Option<Owner> {
        match self.role {
            Role::Owner(owner) => Some(owner),
            _ => None,
        }
    }

    /// What it has, if it is complete.
    pub fn complete(&self) -> Option<Copy> {
        match self.role {
            Role::Replica { copy, .. } => Some(copy),
            Role::Claiming { own, .. } => own,
            Role::Owner(owner) => Some(owner.copy),
            Role::Nothing | Role::Filling { .. } => None,
        }
    }

    pub fn is_replica_of(&self, owner: &Owner) -> bool {
        matches!(self.role, Role::Replica { epoch, .. } if epoch == owner.epoch)
    }

    pub fn is_filled_by(&self, owner: &Owner) -> bool {
        matches!(self.role, Role::Filling { epoch } if epoch == owner.epoch)
    }
}
