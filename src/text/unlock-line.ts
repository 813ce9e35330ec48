/**
 * The command line that ends the lease of this holder. A client chooses its id itself, so it is quoted for a shell, and one that
 * begins with `-` is written with `=`.
 */
export function unlockLine(instanceId: string): string {
  const word = /^[\w-]+$/.test(instanceId) ? instanceId : `'${instanceId.replaceAll("'", "'\\''")}'`;
  return `migrate-lock unlock --force --instance${instanceId.startsWith('-') ? '=' : ' '}${word}`;
}
