import { statSync } from 'node:fs';

/**
 * Whether what this user owns may be followed: we, root, and the owner of `/`, who is root outside of a container that does
 * not show root as 0. Any other user could lead us elsewhere.
 */
export function isTrustedOwner(uid: number): boolean {
  return uid === process.geteuid?.() || uid === 0 || uid === statSync('/').uid;
}
