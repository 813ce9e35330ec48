import { lstat, readlink } from 'node:fs/promises';
import { isAbsolute, join, parse, sep } from 'node:path';
import { isTrustedOwner } from '../system/file-owner.js';

/** The kernel's limit. */
const MOST_LINKS = 40;

/**
 * Resolves the links of an absolute path, one after the other. Its last part need not exist.
 * @throws Error when one of them belongs neither to this user nor to root: in a shared folder, any user can create a
 * link.
 */
export async function followOwnLinks(file: string): Promise<string> {
  let done = parse(file).root;
  const parts = file.split(sep);
  for (let links = 0, part = parts.shift(); part !== undefined; part = parts.shift()) {
    const path = join(done, part);
    const found = await lstat(path).catch(() => null);
    if (found?.isSymbolicLink() !== true) {
      done = path;
      continue;
    }
    if (!isTrustedOwner(found.uid)) {
      throw new Error(
        `${path} is a link of another user (uid ${found.uid}); remove it, or write into a folder that only you can write`,
      );
    }
    if (++links > MOST_LINKS) throw new Error(`${file} is a chain of more than ${MOST_LINKS} links`);
    const target = await readlink(path);
    if (isAbsolute(target)) done = parse(target).root;
    parts.unshift(...target.split(sep));
  }
  return done;
}
