import path from 'node:path';
import { UsageError } from '../../errors.js';
import { LIBPQ } from './libpq-parameters.js';
import { reasonOf, type ReadFile } from './pem-files.js';

export interface ServiceSource {
  /** The service's name. */
  name: string;
  /** PGSERVICEFILE, or `servicefile`: in place of ~/.pg_service.conf. */
  file: string | undefined;
  home: string | undefined;
  /** PGSYSCONFDIR. */
  systemFolder: string | undefined;
  readFile: ReadFile;
}

/** The folders of libpq as built by Debian, and by PostgreSQL's packages for Red Hat: `pg_config --sysconfdir`. */
const SYSTEM_FOLDERS = ['/etc/postgresql-common', '/etc/sysconfig/pgsql'];

/**
 * Reads a service's parameters as libpq does: from the user's file, or else from the system's.
 * https://www.postgresql.org/docs/current/libpq-pgservice.html
 * @throws {UsageError} when no file has the service, or its section is not valid; it repeats no value.
 */
export function readService(source: ServiceSource): Map<string, string> {
  const { name, file, home, systemFolder } = source;
  const own = file ?? (home === undefined ? undefined : path.join(home, '.pg_service.conf'));
  const folders = systemFolder === undefined ? SYSTEM_FOLDERS : [systemFolder];
  const system = folders.map((folder) => path.join(folder, 'pg_service.conf'));
  const looked: string[] = [];
  for (const candidate of own === undefined ? system : [own, ...system]) {
    const text = readIfThere(candidate, candidate === file, source.readFile);
    if (text === undefined) continue;
    const found = readSection(text, name, candidate);
    if (found !== undefined) return found;
    looked.push(candidate);
  }
  throw new UsageError(
    `The service that is named for the database (service in the URL, or PGSERVICE) is not defined: ` +
      (looked.length > 0
        ? `${looked.join(' and ')} do${looked.length > 1 ? '' : 'es'} not have it.`
        : 'there is no service file.'),
    'A service is a section [name] of ~/.pg_service.conf, of the file that PGSERVICEFILE names, or of pg_service.conf in the folder that PGSYSCONFDIR names.',
  );
}

function readIfThere(file: string, mustBeThere: boolean, readFile: ReadFile): string | undefined {
  try {
    return readFile(file);
  } catch (error) {
    const code = reasonOf(error);
    // As libpq: an existing file has to be readable.
    if (!mustBeThere && (code === 'ENOENT' || code === 'ENOTDIR')) return undefined;
    throw new UsageError(
      `The service file cannot be read: ${file} (${code}).`,
      'Check PGSERVICEFILE, and who may read the file.',
      error,
    );
  }
}

/** The first section of that name; when it has a parameter twice, the first. */
function readSection(text: string, name: string, file: string): Map<string, string> | undefined {
  let section: Map<string, string> | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (section !== undefined) return section;
      if (line.startsWith(`[${name}]`)) section = new Map();
      continue;
    }
    if (section === undefined) continue;
    const sign = line.indexOf('=');
    const [parameter, value] = [line.slice(0, Math.max(sign, 0)), line.slice(sign + 1)];
    checkLine(parameter, line, `${file}, line ${index + 1}`);
    if (!section.has(parameter)) section.set(parameter, value);
  }
  return section;
}

function checkLine(parameter: string, line: string, place: string): void {
  const fail = (problem: string, hint: string): never => {
    throw new UsageError(`The service file cannot be used (${place}): ${problem}.`, hint);
  };
  if (line.startsWith('ldap'))
    fail('a service that is looked up in LDAP is not supported', 'Write its parameters into the file.');
  if (parameter === 'service' || parameter === 'servicefile')
    fail('a service cannot name another one', 'Write its parameters into the section.');
  if (!LIBPQ.has(parameter))
    fail(
      'this is no parameter of libpq',
      'Write name=value, without blanks around the equals sign and without quotation marks.',
    );
}
