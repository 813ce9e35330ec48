import { statSync } from 'node:fs';

/**
 * Whether files of this user are trusted: our own, root's, and those of the owner of `/`, which is root outside a container
 * with another uid mapping.
 */
export function isTrustedOwner(uid: number): boolean {
  return uid === process.geteuid?.() || uid === 0 || uid === statSync('/').uid;
}
