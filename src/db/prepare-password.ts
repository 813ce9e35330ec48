/**
 * A password as PostgreSQL prepares it for SCRAM: SASLprep (RFC 4013); one that this forbids is used as it is. What is printable
 * ASCII stays the same, so that the tables are loaded for few.
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
