import { throughPooler } from '../../support/through-pooler.js';

await throughPooler(() => import('../run/run.test.js'));
