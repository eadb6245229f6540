//! Files and folders in memory, each with what the program sees and what a power loss would leave.
//!
//! A folder's unsynced changes survive as a prefix, in order, as on a journaling file system; a rename within a folder
//! is one change. A file's unsynced blocks survive each on its own, its length somewhere between the synced and the new.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::super::Entry;
use super::faults::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

const ROOT: NodeId = NodeId(0);

#[derive(Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    block_bytes: usize,
}

#[derive(Debug)]
enum Node {
    Dir(Dir),
    File(Content),
}

type Names = BTreeMap<String, NodeId>;

#[derive(Debug, Default)]
struct Dir {
    live: Names,
    durable: Names,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Insert(String, NodeId),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced_blocks: BTreeSet<usize>,
}

impl Nodes {
    pub(super) fn new(block_bytes: usize) -> Self {
        Self { nodes: vec![Node::Dir(Dir::default())], block_bytes }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?;
        match self.nodes[id.0] {
            Node::File(_) => Ok(id),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        self.insert(path, Node::File(Content::default()))
    }

    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        match self.find(path) {
            Ok(id) => self.dir(id).map(|_| ()),
            Err(_) => {
                if let Some(parent) = path.parent() {
                    self.create_dirs(parent)?;
                }
                self.insert(path, Node::Dir(Dir::default())).map(|_| ())
            }
        }
    }

    pub(super) fn remove(&mut self, path: &Path, expect_dir: bool) -> io::Result<()> {
        let id = self.find(path)?;
        match &self.nodes[id.0] {
            Node::File(_) if expect_dir => return Err(io::ErrorKind::NotADirectory.into()),
            Node::Dir(_) if !expect_dir => return Err(io::ErrorKind::IsADirectory.into()),
            Node::Dir(dir) if !dir.live.is_empty() => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => {}
        }
        let (parent, name) = self.locate(path)?;
        self.change(parent, Change::Remove(name))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        let (from_parent, from_name) = self.locate(from)?;
        let (to_parent, to_name) = self.locate(to)?;
        if let Ok(replaced) = self.find(to)
            && matches!(&self.nodes[replaced.0], Node::Dir(dir) if !dir.live.is_empty())
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if from_parent == to_parent {
            return self.change(from_parent, Change::Rename(from_name, to_name));
        }
        self.change(to_parent, Change::Insert(to_name, id))?;
        self.change(from_parent, Change::Remove(from_name))
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let dir = self.dir(self.find(path)?)?;
        let entry = |(name, id): (&String, &NodeId)| Entry {
            name: name.clone(),
            is_dir: matches!(self.nodes[id.0], Node::Dir(_)),
        };
        Ok(dir.live.iter().map(entry).collect())
    }

    pub(super) fn look(&self, path: &Path) -> io::Result<(bool, u64)> {
        let id = self.find(path)?;
        Ok(match &self.nodes[id.0] {
            Node::Dir(_) => (true, 0),
            Node::File(content) => (false, content.live.len() as u64),
        })
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        self.dir_mut(id)?.sync();
        Ok(())
    }

    pub(super) fn content(&self, id: NodeId) -> &[u8] {
        match &self.nodes[id.0] {
            Node::File(content) => &content.live,
            Node::Dir(_) => &[],
        }
    }

    pub(super) fn size(&self, id: NodeId) -> u64 {
        self.content(id).len() as u64
    }

    pub(super) fn write(&mut self, id: NodeId, position: u64, bytes: &[u8]) {
        let block = self.block_bytes;
        let Some(content) = self.content_mut(id) else { return };
        if bytes.is_empty() {
            return;
        }
        let start = position as usize;
        let end = start + bytes.len();
        if content.live.len() < end {
            content.live.resize(end, 0);
        }
        content.live[start..end].copy_from_slice(bytes);
        content.unsynced_blocks.extend(start / block..=(end - 1) / block);
    }

    pub(super) fn set_size(&mut self, id: NodeId, size: u64) {
        let block = self.block_bytes;
        let Some(content) = self.content_mut(id) else { return };
        let first = content.live.len().min(size as usize) / block;
        let last = content.live.len().max(size as usize) / block;
        content.live.resize(size as usize, 0);
        content.unsynced_blocks.extend(first..=last);
    }

    pub(super) fn sync_all(&mut self) {
        for id in (0..self.nodes.len()).map(NodeId) {
            match &mut self.nodes[id.0] {
                Node::Dir(dir) => dir.sync(),
                Node::File(_) => self.sync_data(id),
            }
        }
    }

    pub(super) fn sync_data(&mut self, id: NodeId) {
        let block = self.block_bytes;
        let Some(content) = self.content_mut(id) else { return };
        let size = content.live.len();
        content.durable.resize(size, 0);
        for at in std::mem::take(&mut content.unsynced_blocks) {
            let range = (at * block).min(size)..((at + 1) * block).min(size);
            content.durable[range.clone()].copy_from_slice(&content.live[range]);
        }
    }

    pub(super) fn overwrite_durably(&mut self, id: NodeId, position: u64, bytes: &[u8]) {
        let Some(content) = self.content_mut(id) else { return };
        for side in [&mut content.live, &mut content.durable] {
            for (at, byte) in (position as usize..).zip(bytes) {
                if let Some(place) = side.get_mut(at) {
                    *place = *byte;
                }
            }
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_below(ROOT)
    }

    fn used_below(&self, id: NodeId) -> u64 {
        match &self.nodes[id.0] {
            Node::File(content) => content.live.len() as u64,
            Node::Dir(dir) => dir.live.values().map(|child| self.used_below(*child)).sum(),
        }
    }

    pub(super) fn lose_power(&mut self, random: &mut Random) {
        let block = self.block_bytes;
        for node in &mut self.nodes {
            match node {
                Node::Dir(dir) => dir.lose_power(random),
                Node::File(content) => content.lose_power(block, random),
            }
        }
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                at = *self.dir(at)?.live.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(at)
    }

    /// The folder and the name in it that a path stands for.
    fn locate(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        self.dir(parent)?;
        Ok((parent, name.to_owned()))
    }

    fn insert(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (parent, name) = self.locate(path)?;
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.change(parent, Change::Insert(name, id))?;
        Ok(id)
    }

    fn change(&mut self, parent: NodeId, change: Change) -> io::Result<()> {
        let dir = self.dir_mut(parent)?;
        change.apply(&mut dir.live);
        dir.unsynced.push(change);
        Ok(())
    }

    fn dir(&self, id: NodeId) -> io::Result<&Dir> {
        match &self.nodes[id.0] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, id: NodeId) -> io::Result<&mut Dir> {
        match &mut self.nodes[id.0] {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn content_mut(&mut self, id: NodeId) -> Option<&mut Content> {
        match &mut self.nodes[id.0] {
            Node::File(content) => Some(content),
            Node::Dir(_) => None,
        }
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Insert(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Dir {
    fn sync(&mut self) {
        self.durable = self.live.clone();
        self.unsynced.clear();
    }

    fn lose_power(&mut self, random: &mut Random) {
        let kept = random.below(self.unsynced.len() as u64 + 1) as usize;
        for change in self.unsynced.drain(..).take(kept) {
            change.apply(&mut self.durable);
        }
        self.live = self.durable.clone();
    }
}

impl Content {
    fn lose_power(&mut self, block: usize, random: &mut Random) {
        if self.unsynced_blocks.is_empty() {
            return;
        }
        let (short, long) =
            (self.durable.len().min(self.live.len()), self.durable.len().max(self.live.len()));
        let blocks = (long - short).div_ceil(block) as u64;
        let size = (short + random.below(blocks + 1) as usize * block).min(long);
        let mut kept = std::mem::take(&mut self.durable);
        kept.resize(size, 0);
        for at in std::mem::take(&mut self.unsynced_blocks) {
            let range = (at * block).min(size)..((at + 1) * block).min(size).min(self.live.len());
            if random.coin() && !range.is_empty() {
                kept[range.clone()].copy_from_slice(&self.live[range]);
            }
        }
        self.live.clone_from(&kept);
        self.durable = kept;
    }
}
