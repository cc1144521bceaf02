//! Where groups are found: by tenant, namespace and name, in a value that is passed on.

use super::error::{GroupError, name};
use super::group::Group;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Tenants that have groups, or handles.
    pub tenants: usize,
    /// Groups of one tenant.
    pub groups: usize,
    /// Members of one group.
    pub members: usize,
}

impl Limits {
    /// The same with this [`tenants`](Self::tenants).
    #[must_use]
    pub fn tenants(self, tenants: usize) -> Self {
        Self { tenants, ..self }
    }

    /// The same with this [`groups`](Self::groups).
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// The same with this [`members`](Self::members).
    #[must_use]
    pub fn members(self, members: usize) -> Self {
        Self { members, ..self }
    }
}

impl Default for Limits {
    /// 1,000 tenants, of 1,000 groups each, of 10,000 members each.
    fn default() -> Self {
        Self { tenants: 1_000, groups: 1_000, members: 10_000 }
    }
}

/// All groups whose messages are of one type. Clones are cheap, and share the groups; two that were made separately
/// share nothing.
///
/// Whoever has this value can reach every tenant. Pass on a [`Tenant`] to whoever must not.
pub struct ProcessGroups<M> {
    shared: Arc<Tenants<M>>,
}

struct Tenants<M> {
    limits: Limits,
    tenants: Mutex<HashMap<Arc<str>, Tenant<M>>>,
}

/// The groups of one tenant. It is a capability: no other tenant's groups can be reached, seen or counted with it.
/// Clones are cheap, and share the groups.
pub struct Tenant<M> {
    own: Arc<Own<M>>,
}

struct Own<M> {
    name: Arc<str>,
    limits: Limits,
    groups: Mutex<Groups<M>>,
}

type Groups<M> = BTreeMap<Key, Group<M>>;

/// Namespace and name.
type Key = (Arc<str>, Arc<str>);

impl<M> ProcessGroups<M> {
    /// No groups yet, and never more than the limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { shared: Arc::new(Tenants { limits, tenants: Mutex::default() }) }
    }

    /// The groups of this tenant, which has none at first.
    ///
    /// # Errors
    ///
    /// A bad name; [`GroupError::TooManyTenants`].
    pub fn tenant(&self, tenant: &str) -> Result<Tenant<M>, GroupError> {
        let tenant = name("tenant", tenant)?;
        let limits = self.shared.limits;
        let mut tenants = self.shared.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(&tenant) {
            return Ok(known.clone());
        }
        if tenants.len() >= limits.tenants {
            // Handles are cloned under this lock or from another handle: one that is alone here stays alone.
            tenants.retain(|_, known| Arc::strong_count(&known.own) > 1 || !known.own.groups().is_empty());
        }
        if tenants.len() >= limits.tenants {
            return Err(GroupError::TooManyTenants(limits.tenants));
        }
        let own = Arc::new(Own { name: Arc::clone(&tenant), limits, groups: Mutex::default() });
        let new = Tenant { own };
        tenants.insert(tenant, new.clone());
        Ok(new)
    }

    /// The groups of all tenants, at this moment.
    #[must_use]
    pub fn all(&self) -> Vec<Group<M>> {
        let tenants: Vec<Tenant<M>> =
            self.shared.tenants.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        tenants.iter().flat_map(|tenant| tenant.own.groups().values().cloned().collect::<Vec<_>>()).collect()
    }
}

impl<M> Tenant<M> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.own.name
    }

    /// Creates a group, without members.
    ///
    /// # Errors
    ///
    /// [`GroupError::Exists`]; bad names; [`GroupError::TooManyGroups`].
    pub fn create(&self, namespace: &str, group: &str) -> Result<Group<M>, GroupError> {
        match self.enter(namespace, group)? {
            (new, true) => Ok(new),
            (old, false) => Err(GroupError::Exists(old.path().into())),
        }
    }

    /// The group of this name, which is created if there is none.
    ///
    /// # Errors
    ///
    /// Bad names; [`GroupError::TooManyGroups`].
    pub fn open(&self, namespace: &str, group: &str) -> Result<Group<M>, GroupError> {
        Ok(self.enter(namespace, group)?.0)
    }

    /// The group of this name.
    ///
    /// # Errors
    ///
    /// [`GroupError::Missing`]; bad names.
    pub fn group(&self, namespace: &str, group: &str) -> Result<Group<M>, GroupError> {
        let key = key(namespace, group)?;
        self.own.groups().get(&key).cloned().ok_or_else(|| GroupError::Missing(self.own.path(&key)))
    }

    /// The namespaces and names of all groups, in their order.
    #[must_use]
    pub fn groups(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.own.groups().keys().cloned().collect()
    }

    /// Deletes a group. Its members get what was accepted before, and then
    /// [`LeaveReason::Deleted`](super::LeaveReason::Deleted); who has a handle of it gets [`Deleted`](super::Deleted),
    /// also when another group of this name is created.
    ///
    /// # Errors
    ///
    /// [`GroupError::Missing`]; bad names.
    pub fn delete(&self, namespace: &str, group: &str) -> Result<(), GroupError> {
        let key = key(namespace, group)?;
        let group = self.own.groups().remove(&key);
        group.ok_or_else(|| GroupError::Missing(self.own.path(&key)))?.end();
        Ok(())
    }

    /// The group of this name, and whether it is new.
    fn enter(&self, namespace: &str, group: &str) -> Result<(Group<M>, bool), GroupError> {
        let key = key(namespace, group)?;
        let path = self.own.path(&key);
        let mut groups = self.own.groups();
        let count = groups.len();
        match groups.entry(key) {
            Entry::Occupied(old) => Ok((old.get().clone(), false)),
            Entry::Vacant(_) if count >= self.own.limits.groups => {
                Err(GroupError::TooManyGroups(self.own.limits.groups))
            }
            Entry::Vacant(place) => Ok((place.insert(Group::new(path, self.own.limits.members)).clone(), true)),
        }
    }
}

fn key(namespace: &str, group: &str) -> Result<Key, GroupError> {
    Ok((name("namespace", namespace)?, name("group", group)?))
}

impl<M> Own<M> {
    fn groups(&self) -> MutexGuard<'_, Groups<M>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, (namespace, group): &Key) -> Arc<str> {
        format!("{}/{namespace}/{group}", self.name).into()
    }
}

impl<M> Default for ProcessGroups<M> {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<M> Clone for ProcessGroups<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> Clone for Tenant<M> {
    fn clone(&self) -> Self {
        Self { own: Arc::clone(&self.own) }
    }
}

impl<M> fmt::Debug for ProcessGroups<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessGroups").field(&self.shared.limits).finish()
    }
}

impl<M> fmt::Debug for Tenant<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tenant").field(&self.own.name).finish()
    }
}
