/**
 * A password as PostgreSQL prepares it for SCRAM: SASLprep (RFC 4013); a password that SASLprep forbids is used as it
 * is. Printable ASCII stays the same, so the tables are rarely loaded.
 */
export async function preparePassword(password: string): Promise<string> {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const { saslprep } = await import('./saslprep.js');
  try {
    return saslprep(password) || password;
  } catch {
    return password;
  }
}
