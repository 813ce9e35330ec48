import path from 'node:path';
import { UsageError } from '../../errors.js';

export type ReadFile = (path: string) => string;

/** What the file that a parameter names has to contain. */
const CONTENTS: Record<string, { label: RegExp; called: string }> = {
  sslrootcert: { label: /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/, called: 'certificate' },
  sslcert: { label: /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/, called: 'certificate' },
  sslkey: { label: /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/, called: 'private key' },
  sslcrl: { label: /-----BEGIN X509 CRL-----/, called: 'revocation list' },
};

/** @throws {UsageError} when the file cannot be read, or has other content. */
export function readPem(parameter: string, file: string, readFile: ReadFile): string {
  let text: string;
  try {
    text = readFile(file);
  } catch (cause) {
    throw new UsageError(
      `The file that ${parameter} names cannot be read: ${file} (${reasonOf(cause)}).`,
      'The path is taken as it is: not relative to another configuration file, and ~ is not expanded.',
      cause,
    );
  }
  const content = CONTENTS[parameter];
  if (content === undefined || content.label.test(text)) return text;
  throw new UsageError(
    `The file that ${parameter} names has no ${content.called} in it: ${file}.`,
    'It has to be a PEM file. One in DER form is converted with openssl.',
  );
}

/** The default files of libpq. A missing or unreadable one counts as none. */
export function presentInHome(
  home: string | undefined,
  name: string,
  readFile: ReadFile,
): string | undefined {
  const file = home === undefined ? undefined : path.join(home, '.postgresql', name);
  return pemAt(file, readFile) === undefined ? undefined : file;
}

export function pemAt(file: string | undefined, readFile: ReadFile): string | undefined {
  try {
    return file === undefined ? undefined : readFile(file);
  } catch {
    return undefined;
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'it is not readable';
}
