import { UsageError } from '../../errors.js';
import { filled, type UrlParts } from './connection-url.js';
import { canonical, LIBPQ } from './libpq-parameters.js';
import { readService } from './service-file.js';
import { isUnexpanded, type ValueKind } from './unexpanded.js';

export type Env = Record<string, string | undefined>;
type Layer = 'url' | 'service' | 'env';

/** The values of libpq's parameters: from the URL, else from a service, else from PG* variables. */
export interface ConnectionSettings {
  get: (parameter: string) => string | undefined;
  /** The source of a value, for messages: `sslmode (in the database URL)`, `PGSSLMODE`. */
  nameOf: (parameter: string) => string;
  layerOf: (parameter: string) => Layer | undefined;
  in: (layer: Layer, parameter: string) => string | undefined;
}

/** @throws {UsageError} when the service cannot be read, or a value is a variable that was not expanded. */
export function readSettings(
  url: UrlParts | undefined,
  env: Env,
  readFile: (path: string) => string,
): ConnectionSettings {
  const variable = (name: string): string | undefined => filled(env[name]);
  const layers: Record<Layer, Map<string, string>> = {
    url: url === undefined ? new Map<string, string>() : givenBy(url),
    service: new Map(),
    env: givenByVariables(variable),
  };
  const named = (parameter: string): string | undefined => {
    const [given, value] = [layers.url.get(parameter), layers.env.get(parameter)];
    return given ?? (value && checkExpanded(value, 'name', LIBPQ.get(parameter)?.variable ?? parameter));
  };
  const service = named('service');
  if (service !== undefined) {
    layers.service = readService({
      name: service,
      file: named('servicefile'),
      home: variable('HOME'),
      systemFolder: variable('PGSYSCONFDIR'),
      readFile,
    });
  }
  const layerOf = (parameter: string): Layer | undefined =>
    (['url', 'service', 'env'] as const).find((layer) => filled(layers[layer].get(parameter)) !== undefined);
  const nameOf = (parameter: string): string => {
    const layer = layerOf(parameter);
    if (layer === 'env') return LIBPQ.get(parameter)?.variable ?? parameter;
    return layer === 'service' ? `${parameter} of the service` : `${parameter} in the database URL`;
  };
  return {
    layerOf,
    nameOf,
    in: (layer, parameter) => filled(layers[layer].get(parameter)),
    get: (parameter) => {
      const layer = layerOf(parameter);
      const value = layer === undefined ? undefined : layers[layer].get(parameter);
      // The parser of the URL has checked already, before it decoded.
      if (value === undefined || layer === 'url') return value;
      return checkExpanded(value, LIBPQ.get(parameter)?.kind ?? 'text', nameOf(parameter));
    },
  };
}

/**
 * A parameter counts as the same setting in its usual place. Where both are given, drivers differ in which one they use;
 * only a socket in place of a host is understood by all.
 * @throws {UsageError} when they differ.
 */
function givenBy(url: UrlParts): Map<string, string> {
  const { user, password, database, hosts, ports, parameters } = url;
  const names = [filled(parameters.get('dbname')), filled(parameters.get('database')), database];
  const [dbname, ...others] = names.filter((name) => name !== undefined);
  if (others.some((name) => name !== dbname)) throw twice('database');
  const usual = { user, password, host: hosts?.join(','), port: ports?.join(',') };
  const given = new Map<string, string>(
    Object.entries(usual).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  for (const [name, value] of parameters) {
    if (value === '' || !LIBPQ.has(canonical(name))) continue;
    const before = given.get(name);
    if (before !== undefined && before !== value && isPlace(name) && !value.startsWith('/'))
      throw twice(name);
    given.set(name, value);
  }
  if (dbname !== undefined) given.set('dbname', dbname);
  return given;
}

function isPlace(parameter: string): boolean {
  return parameter === 'host' || parameter === 'port';
}

function twice(what: string): UsageError {
  return new UsageError(
    `The database URL names the ${what} twice, with different values.`,
    'Some programs use the one, and some the other. Remove the parameter, or write the same in both places.',
  );
}

function givenByVariables(variable: (name: string) => string | undefined): Map<string, string> {
  const given = new Map<string, string>();
  for (const [parameter, { variable: name }] of LIBPQ) {
    const value = name === undefined ? undefined : variable(name);
    if (value !== undefined) given.set(parameter, value);
  }
  return given;
}

function checkExpanded(value: string, kind: ValueKind, name: string): string {
  if (!isUnexpanded(value, kind)) return value;
  throw new UsageError(
    `${name} holds a variable that was not expanded.`,
    'Check that the variable is set where the value is put together, and that something replaces it there.',
  );
}
