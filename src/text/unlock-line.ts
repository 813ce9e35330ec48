/**
 * The command line that ends the lease of this holder. Clients choose their ids, so the id is quoted for a shell, and one that
 * begins with `-` is written with `=`.
 */
export function unlockLine(instanceId: string): string {
  const word = /^[\w-]+$/.test(instanceId) ? instanceId : `'${instanceId.replaceAll("'", "'\\''")}'`;
  return `migrate-lock unlock --force --instance${instanceId.startsWith('-') ? '=' : ' '}${word}`;
}
