//! A layer between SQLite and its VFS that reports writes and syncs to [`Disk`], and fails
//! where the disk says so.
//!
//! `unsafe`, since SQLite's VFS interface is in C. Each call is forwarded to the VFS below,
//! except syncs, which [`Disk`] replaces.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, Once};

use rusqlite::ffi;

use crate::disk::{Disk, Verdict};

/// SQLite's structure for an open file. That of the VFS below follows it in memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// A box, or null if the changes of the file are not recorded.
    watched: *mut Watched,
}

struct Watched {
    disk: Arc<Disk>,
    name: String,
}

/// Makes this layer SQLite's default, for the whole process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the layer below lives as long as the process, and so does the copy.
        unsafe {
            ffi::sqlite3_initialize();
            let below = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!below.is_null());
            let mut vfs = *below;
            let own = c_int::try_from(size_of::<File>()).unwrap();
            vfs.szOsFile = own + (*below).szOsFile;
            vfs.zName = c"watched".as_ptr();
            vfs.pNext = std::ptr::null_mut();
            vfs.pAppData = below.cast();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            vfs.xAccess = Some(access);
            vfs.xFullPathname = Some(full_pathname);
            let vfs = Box::leak(Box::new(vfs));
            assert_eq!(ffi::sqlite3_vfs_register(vfs, 1), ffi::SQLITE_OK);
        }
    });
}

unsafe fn below(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    unsafe { (*vfs).pAppData.cast() }
}

unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

unsafe fn methods(file: *mut ffi::sqlite3_file) -> &'static ffi::sqlite3_io_methods {
    unsafe { &*(*real(file)).pMethods }
}

unsafe fn watched<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Watched> {
    unsafe { (*file.cast::<File>()).watched.as_ref() }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        let own = file.cast::<File>();
        (*own).base.pMethods = std::ptr::null();
        (*own).watched = std::ptr::null_mut();
        (*real(file)).pMethods = std::ptr::null();
        let below = below(vfs);
        let code = (*below).xOpen.unwrap()(below, name, real(file), flags, out_flags);
        if (*real(file)).pMethods.is_null() {
            return code;
        }
        (*own).base.pMethods = &raw const METHODS;
        if !name.is_null() {
            let path = Path::new(CStr::from_ptr(name).to_str().unwrap());
            if let Some(disk) = Disk::of(path) {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (*own).watched = Box::into_raw(Box::new(Watched { disk, name }));
            }
        }
        code
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_directory: c_int,
) -> c_int {
    unsafe {
        let path = Path::new(CStr::from_ptr(name).to_str().unwrap());
        if let Some(disk) = Disk::of(path) {
            if disk.is_dead() {
                return ffi::SQLITE_IOERR_DELETE;
            }
            disk.removed(path.file_name().unwrap().to_str().unwrap());
        }
        let below = below(vfs);
        (*below).xDelete.unwrap()(below, name, sync_directory)
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    unsafe {
        let below = below(vfs);
        (*below).xAccess.unwrap()(below, name, flags, out)
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    len: c_int,
    out: *mut c_char,
) -> c_int {
    unsafe {
        let below = below(vfs);
        (*below).xFullPathname.unwrap()(below, name, len, out)
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Version 2: shared memory, no memory mapping.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let own = file.cast::<File>();
        if !(*own).watched.is_null() {
            drop(Box::from_raw((*own).watched));
            (*own).watched = std::ptr::null_mut();
        }
        methods(file).xClose.unwrap()(real(file))
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    unsafe {
        if watched(file).is_some_and(|of| of.disk.may_read() == Verdict::Error) {
            return ffi::SQLITE_IOERR_READ;
        }
        methods(file).xRead.unwrap()(real(file), buffer, len, at)
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    len: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    unsafe {
        if let Some(of) = watched(file) {
            match of.disk.may_write() {
                Verdict::Done => {}
                Verdict::Full => return ffi::SQLITE_FULL,
                Verdict::Error => return ffi::SQLITE_IOERR_WRITE,
            }
            let bytes =
                std::slice::from_raw_parts(buffer.cast::<u8>(), usize::try_from(len).unwrap());
            of.disk.wrote(&of.name, usize::try_from(at).unwrap(), bytes);
        }
        methods(file).xWrite.unwrap()(real(file), buffer, len, at)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    unsafe {
        if let Some(of) = watched(file) {
            // Truncating a file needs no room.
            if of.disk.may_write() == Verdict::Error {
                return ffi::SQLITE_IOERR_TRUNCATE;
            }
            of.disk.truncated(&of.name, usize::try_from(len).unwrap());
        }
        methods(file).xTruncate.unwrap()(real(file), len)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        match watched(file) {
            Some(of) if of.disk.sync(&of.name) == Verdict::Done => ffi::SQLITE_OK,
            Some(_) => ffi::SQLITE_IOERR_FSYNC,
            None => methods(file).xSync.unwrap()(real(file), flags),
        }
    }
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    unsafe { methods(file).xFileSize.unwrap()(real(file), size) }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { methods(file).xLock.unwrap()(real(file), level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { methods(file).xUnlock.unwrap()(real(file), level) }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    unsafe { methods(file).xCheckReservedLock.unwrap()(real(file), out) }
}

unsafe extern "C" fn file_control(
    file: *mut ffi::sqlite3_file,
    operation: c_int,
    argument: *mut c_void,
) -> c_int {
    unsafe { methods(file).xFileControl.unwrap()(real(file), operation, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe { methods(file).xSectorSize.unwrap()(real(file)) }
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe { methods(file).xDeviceCharacteristics.unwrap()(real(file)) }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    unsafe { methods(file).xShmMap.unwrap()(real(file), region, size, extend, out) }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    unsafe { methods(file).xShmLock.unwrap()(real(file), offset, count, flags) }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    unsafe { methods(file).xShmBarrier.unwrap()(real(file)) }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    unsafe { methods(file).xShmUnmap.unwrap()(real(file), delete) }
}
