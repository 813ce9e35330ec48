/** The names of an error's fields in postgres.js, which all other code reads. */
const FIELDS = new Map([
  ['S', 'severity_local'],
  ['V', 'severity'],
  ['C', 'code'],
  ['M', 'message'],
  ['D', 'detail'],
  ['H', 'hint'],
  ['R', 'routine'],
]);

/** The error in an ErrorResponse, as postgres.js would throw it. */
export function errorOf(response: Buffer): Error {
  const fields: Record<string, string> = {};
  for (const field of response.toString('utf8', 5).split('\0')) {
    const name = FIELDS.get(field.charAt(0));
    if (name !== undefined) fields[name] = field.slice(1);
  }
  const { message = 'an error without a message', ...others } = fields;
  return Object.assign(new Error(message), { name: 'PostgresError', ...others });
}

/**
 * Whether the server or a pooler ended the connection. The severity is translated in one field; poolers send only that,
 * in English.
 */
export function isFatal(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { severity, severity_local: local } = error as { severity?: string; severity_local?: string };
  return ['FATAL', 'PANIC'].includes(severity ?? local ?? '');
}
