/** What to do with a pool that has nothing in it. */
export function EmptyPool() {
  return (
    <section class="panel empty">
      <h2>The pool has no subscription yet</h2>
      <p>Three steps, and this page fills by itself:</p>
      <ol>
        <li>
          Get a token for a subscription: <code>claude setup-token</code>. Put it into a variable of
          the pool's environment, such as <code>SUB1_TOKEN</code>.
        </li>
        <li>
          Declare it in <code>pool.toml</code>:
          <pre>{`[[subscriptions]]
id = "sub1"
kind = "max"
credential = { oauth_token_env = "SUB1_TOKEN" }
weekly_budget_usd = 456`}</pre>
        </li>
        <li>
          Start it again, and look whether everything is there: <code>claude-pool doctor</code>.
        </li>
      </ol>
      <p>
        An API key works the same way, with <code>kind = "api_key"</code> and{" "}
        <code>api_key_env</code>. <a href="/docs">The API</a> adds subscriptions while the pool runs.
      </p>
    </section>
  );
}
