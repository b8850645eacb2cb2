//! Whose the files are that root makes in the folder of another user.

use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

/// Gives what root made to the owner of the folder that it is in. Otherwise a command that an
/// administrator ran once would leave files that the service, which runs as the folder's owner,
/// could never write to again. What is not root's stays as it is.
///
/// # Errors
/// When the file is not there, or its file system knows no owners.
pub fn leave_to_folder(path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let (folder, file) = (folder.metadata()?, path.symlink_metadata()?);
    if file.uid() == 0 && folder.uid() != 0 {
        lchown(path, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}
