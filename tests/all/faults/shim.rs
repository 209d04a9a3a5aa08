//! A library loaded before libc (`LD_PRELOAD`) that makes system calls fail: the n-th one on a file below a folder, or all from
//! then on, or all while a file exists. Environment variables control it:
//!
//! | variable | |
//! |---|---|
//! | `FAULT_BELOW` | only calls on files whose path begins with this |
//! | `FAULT_CALLS` | kinds: `read`, `write`, `sync`, `name` (open to write, rename, unlink, truncate); all if not set |
//! | `FAULT_ERRNO` | the error number that they fail with |
//! | `FAULT_NTH` | the first call that fails, from 1 on |
//! | `FAULT_LASTS` | all calls after it fail too |
//! | `FAULT_WHILE` | all calls fail while this file exists |
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn readlink(path: *const c_char, out: *mut c_char, len: usize) -> isize;
    fn access(path: *const c_char, mode: c_int) -> c_int;
}

/// glibc's `RTLD_NEXT`.
const NEXT: *mut c_void = -1_isize as *mut c_void;
const O_WRITES: c_int = 0o3;

struct Plan {
    below: Vec<u8>,
    calls: Option<String>,
    errno: c_int,
    nth: u64,
    lasts: bool,
    while_there: Option<CString>,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

fn plan() -> Option<&'static Plan> {
    let read = || {
        let text = |name: &str| std::env::var(name).ok();
        Some(Plan {
            below: text("FAULT_BELOW")?.into_bytes(),
            calls: text("FAULT_CALLS"),
            errno: text("FAULT_ERRNO")?.parse().ok()?,
            nth: text("FAULT_NTH").and_then(|nth| nth.parse().ok()).unwrap_or(u64::MAX),
            lasts: text("FAULT_LASTS").is_some(),
            while_there: text("FAULT_WHILE").and_then(|path| CString::new(path).ok()),
        })
    };
    PLAN.get_or_init(read).as_ref()
}

/// Whether a call on a path fails; if so, sets errno.
fn fails(kind: &str, path: &[u8]) -> bool {
    let Some(plan) = plan() else { return false };
    if !path.starts_with(&plan.below) || plan.calls.as_ref().is_some_and(|calls| !calls.split(',').any(|one| one == kind)) {
        return false;
    }
    let fails = match &plan.while_there {
        Some(there) => unsafe { access(there.as_ptr(), 0) == 0 },
        None => {
            let number = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
            number == plan.nth || (plan.lasts && number > plan.nth)
        }
    };
    if fails {
        if plan.while_there.is_none() {
            let word = b"a fault was made\n";
            unsafe { real_write(2, word.as_ptr().cast(), word.len()) };
        }
        unsafe { *__errno_location() = plan.errno };
    }
    fails
}

fn fails_on(kind: &str, file: c_int) -> bool {
    if plan().is_none() {
        return false;
    }
    let Ok(link) = CString::new(format!("/proc/self/fd/{file}")) else { return false };
    let mut path = [0_u8; 4096];
    let len = unsafe { readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) };
    usize::try_from(len).is_ok_and(|len| fails(kind, &path[..len]))
}

fn fails_at(kind: &str, path: *const c_char) -> bool {
    !path.is_null() && fails(kind, unsafe { CStr::from_ptr(path) }.to_bytes())
}

/// The libc function that the one here replaces.
macro_rules! next {
    ($name:literal as $type:ty) => {{
        static REAL: OnceLock<usize> = OnceLock::new();
        let address = *REAL.get_or_init(|| dlsym(NEXT, concat!($name, "\0").as_ptr().cast()) as usize);
        std::mem::transmute::<usize, $type>(address)
    }};
}

type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;

unsafe fn real_write(file: c_int, bytes: *const c_void, len: usize) -> isize {
    unsafe { next!("write" as Write)(file, bytes, len) }
}

macro_rules! on_file {
    ($kind:literal, $name:ident, $text:literal, ($($arg:ident: $type:ty),*) -> $out:ty) => {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(file: c_int, $($arg: $type),*) -> $out {
            if fails_on($kind, file) {
                return -1;
            }
            unsafe { next!($text as unsafe extern "C" fn(c_int, $($type),*) -> $out)(file, $($arg),*) }
        }
    };
}

on_file!("write", write, "write", (bytes: *const c_void, len: usize) -> isize);
on_file!("write", pwrite64, "pwrite64", (bytes: *const c_void, len: usize, at: c_long) -> isize);
on_file!("write", pwrite, "pwrite", (bytes: *const c_void, len: usize, at: c_long) -> isize);
on_file!("write", writev, "writev", (parts: *const c_void, count: c_int) -> isize);
on_file!("read", read, "read", (bytes: *mut c_void, len: usize) -> isize);
on_file!("read", pread64, "pread64", (bytes: *mut c_void, len: usize, at: c_long) -> isize);
on_file!("sync", fsync, "fsync", () -> c_int);
on_file!("sync", fdatasync, "fdatasync", () -> c_int);
on_file!("sync", sync_file_range, "sync_file_range", (at: c_long, len: c_long, flags: c_uint) -> c_int);
on_file!("name", ftruncate64, "ftruncate64", (len: c_long) -> c_int);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    if flags & O_WRITES != 0 && fails_at("name", path) {
        return -1;
    }
    unsafe { next!("open64" as unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int)(path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    if fails_at("name", to) {
        return -1;
    }
    unsafe { next!("rename" as unsafe extern "C" fn(*const c_char, *const c_char) -> c_int)(from, to) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    if fails_at("name", path) {
        return -1;
    }
    unsafe { next!("unlink" as unsafe extern "C" fn(*const c_char) -> c_int)(path) }
}
