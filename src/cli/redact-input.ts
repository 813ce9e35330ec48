import { redactQuoted } from '../redact/quoted-words.js';
import { redactSecrets } from '../redact/secrets.js';

/** What of the environment is read as an option or as an address. */
const OURS = /^(?:MIGRATE_LOCK_|PG|DATABASE_URL$)/;

/** Redacts the credentials of the command line and of the environment in a text that may repeat parts of either. */
export function redactInput(text: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const variables = Object.entries(env).filter(([name]) => OURS.test(name));
  const values = variables.map(([, value]) => value ?? '');
  return redactSecrets(redactQuoted(redactQuoted(text, args), values), [env.PGPASSWORD ?? '']);
}
