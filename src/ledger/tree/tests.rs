//! The vectors of the standards, and proofs of random trees against an implementation as plain as the RFC's words.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// The eight leaves of the test vectors of the certificate-transparency project (merkle_tree_test.cc).
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots over the first one to eight of them.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hash(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// A tree and all its tiles, in memory.
#[derive(Default)]
struct Whole {
    edge: Edge,
    full: std::collections::BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Whole {
    fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut whole = Self::default();
        for leaf in leaves {
            whole.edge.push(leaf, |tile, hashes| drop(whole.full.insert((tile.level, tile.index), hashes.to_vec())));
        }
        whole
    }

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
        let partial = || self.edge.tiles().find(|(of, _)| (of.level, of.index) == (tile.level, tile.index));
        let hashes = self.full.get(&(tile.level, tile.index)).cloned();
        let hashes = hashes.unwrap_or_else(|| partial().unwrap().1.to_vec());
        Ok(hashes[..usize::try_from(tile.width).unwrap()].to_vec())
    }

    fn reader(&self) -> Reader<impl FnMut(Tile) -> Result<Vec<Hash>, Infallible>> {
        Reader::new(self.edge.size(), |tile| self.tile(tile))
    }
}

/// MTH of RFC 6962, section 2.1.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let k = (0..).map(|power| 1 << power).take_while(|k| *k < leaves.len()).last().unwrap();
            node_hash(&root(&leaves[..k]), &root(&leaves[k..]))
        }
    }
}

/// PATH of RFC 6962, section 2.1.1.
fn path_of(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, other) = match m < k {
        true => (path_of(m, &leaves[..k]), root(&leaves[k..])),
        false => (path_of(m - k, &leaves[k..]), root(&leaves[..k])),
    };
    path.push(other);
    path
}

/// SUBPROOF of RFC 6962, section 2.1.2.
fn subproof(m: usize, leaves: &[Hash], b: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if b { vec![] } else { vec![root(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut proof, other) = match m <= k {
        true => (subproof(m, &leaves[..k], b), root(&leaves[k..])),
        false => (subproof(m - k, &leaves[k..], false), root(&leaves[..k])),
    };
    proof.push(other);
    proof
}

fn numbered(size: u64) -> Vec<Hash> {
    (0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

#[test]
fn roots_are_those_of_the_certificate_transparency_project() {
    assert_eq!(empty_root(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    assert_eq!(Edge::default().root(), empty_root());
    let leaves = LEAVES.map(|leaf| leaf_hash(&hex::decode(leaf).unwrap()));
    for (size, root) in (1..).zip(ROOTS) {
        let whole = Whole::of(leaves[..size].iter().copied());
        assert_eq!(whole.edge.root(), hash(root), "{size} leaves");
        assert_eq!(whole.reader().root(size as u64).unwrap(), hash(root), "{size} leaves");
    }
    let whole = Whole::of(leaves);
    assert_eq!(
        whole.reader().inclusion(5).unwrap(),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
        .map(hash)
    );
    assert_eq!(
        whole.reader().consistency(6).unwrap(),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
        .map(hash)
    );
}

/// c2sp.org/tlog-tiles, sections "Merkle Tree" and "Partial Tiles".
#[test]
fn tiles_are_where_the_standard_says() {
    let tile = |level, index, width| Tile { level, index, width };
    assert_eq!(tile(0, 1_234_067, 256).path(), "tile/0/x001/x234/067");
    assert_eq!(tile(1, 0, 17).path(), "tile/1/000.p/17");
    assert_eq!(bundle_path(1000, 256), "tile/entries/x001/000");
    assert_eq!(bundle_path(273, 112), "tile/entries/273.p/112");
    let tiles = |size| {
        let mut full = 0;
        let mut edge = Edge::default();
        numbered(size).into_iter().for_each(|leaf| edge.push(leaf, |_, _| full += 1));
        (full, edge.tiles().map(|(tile, _)| tile).collect::<Vec<_>>())
    };
    assert_eq!(tiles(70_000), (273 + 1, vec![tile(0, 273, 112), tile(1, 1, 17), tile(2, 0, 1)]));
    assert_eq!(tiles(256), (1, vec![tile(1, 0, 1)]));
    assert_eq!(Tile::of(1, 1, 70_000), Some(tile(1, 1, 17)));
    assert_eq!(Tile::of(1, 2, 70_000), None);
    assert_eq!(Tile::of(0, 272, 70_000), Some(tile(0, 272, 256)));
}

#[test]
fn bundles_hold_what_was_put_in_and_nothing_else_is_one() {
    let mut bundle = Vec::new();
    for entry in [&b""[..], b"one", &[7; MAX_ENTRY]] {
        push_entry(&mut bundle, entry).unwrap();
    }
    let before = bundle.clone();
    assert_eq!(push_entry(&mut bundle, &[7; MAX_ENTRY + 1]), Err(TooLong));
    assert_eq!(bundle, before);
    assert_eq!(entries(&bundle).unwrap(), [&b""[..], b"one", &[7; MAX_ENTRY]]);
    for end in [1, 4, bundle.len() - 1] {
        assert_eq!(entries(&bundle[..end]), None, "{end}");
    }
    assert_eq!(entries(&[]).unwrap().len(), 0);
    assert_eq!((hashes(&[0; 31]), hashes(&[]), hashes(&[0; 32 * 257])), (None, None, None));
}

#[test]
fn hostile_numbers_end_in_no_panic() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    for (one, other) in [(0, 0), (u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX), (1, u64::MAX), (u64::MAX, 1)] {
        for proof in [&[][..], &[a], &[a; 64], &[a; 200]] {
            assert!(!proves_inclusion(proof, (&a, one), (&b, other)));
            assert!(!proves_consistency(proof, (&a, one), (&b, other)));
        }
    }
    assert_eq!(Tile::of(200, 0, u64::MAX), None);
    assert_eq!(Tile::of(0, u64::MAX, u64::MAX), None);
}

#[test]
fn an_edge_is_read_back_from_its_tiles() {
    for size in [0, 1, 255, 256, 257, 65_536, 65_537, 70_000] {
        let whole = Whole::of(numbered(size));
        let read = Edge::read(size, |tile| whole.tile(tile)).unwrap().unwrap();
        assert_eq!(read.root(), whole.edge.root(), "{size}");
        let mut grown = read;
        grown.push(leaf_hash(b"one more"), |_, _| {});
        let mut other = whole.edge.clone();
        other.push(leaf_hash(b"one more"), |_, _| {});
        assert_eq!(grown.root(), other.root(), "{size}");
    }
    assert_eq!(Edge::read(3, |_| Ok::<_, Infallible>(vec![[0; 32]; 2])), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn proofs_are_those_of_the_plain_words_and_no_others_pass(size in 1_usize..600, one: u64, flip: (usize, u8)) {
        let leaves = numbered(size as u64);
        let whole = Whole::of(leaves.iter().copied());
        let index = usize::try_from(one % size as u64).unwrap();
        let head = (&root(&leaves), size as u64);
        prop_assert_eq!(whole.edge.root(), *head.0);

        let proof = whole.reader().inclusion(index as u64).unwrap();
        prop_assert_eq!(&proof, &path_of(index, &leaves));
        prop_assert!(proves_inclusion(&proof, (&leaves[index], index as u64), head));
        let other = (index + 1) % size;
        prop_assert_eq!(proves_inclusion(&proof, (&leaves[other], other as u64), head), size == 1);
        prop_assert!(size == 1 || !proves_inclusion(&proof, (&leaves[index], other as u64), head));
        prop_assert!(!proves_inclusion(&proof, (&leaves[index], index as u64), (head.0, size as u64 * 2)));

        let old = index + 1;
        let before = (&root(&leaves[..old]), old as u64);
        let steps = whole.reader().consistency(old as u64).unwrap();
        prop_assert_eq!(&steps, &if old == size { vec![] } else { subproof(old, &leaves, true) });
        prop_assert!(proves_consistency(&steps, before, head));
        prop_assert_eq!(whole.reader().root(old as u64).unwrap(), *before.0);
        for (proof, inclusion) in [(proof, true), (steps, false)] {
            let mut changed = proof.clone();
            if let Some(step) = flip.0.checked_rem(proof.len()) {
                changed[step][usize::from(flip.1 % 32)] ^= 1 << (flip.1 / 32);
            } else {
                changed.push([0; 32]);
            }
            for proof in [&changed[..], &[&proof[..], &[[0; 32]]].concat()] {
                let passes = match inclusion {
                    true => proves_inclusion(proof, (&leaves[index], index as u64), head),
                    false => proves_consistency(proof, before, head),
                };
                prop_assert!(!passes);
            }
        }
    }
}
