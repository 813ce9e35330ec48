/**
 * What a person types to end the lease of this holder. A client chooses its id itself: not every one is a plain word to a
 * shell, and one that begins with `-` is no word of its own to us.
 */
export function unlockLine(instanceId: string): string {
  const word = /^[\w-]+$/.test(instanceId) ? instanceId : `'${instanceId.replaceAll("'", "'\\''")}'`;
  return `migrate-lock unlock --force --instance${instanceId.startsWith('-') ? '=' : ' '}${word}`;
}
