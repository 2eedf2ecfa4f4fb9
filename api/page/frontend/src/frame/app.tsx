import { useState } from "preact/hooks";

import { useNow, useSnapshot } from "../state/hooks.ts";
import { usePlace } from "../state/place.ts";
import { AttentionPanel } from "../panels/attention.tsx";
import { BurndownPanel } from "../panels/burndown.tsx";
import { ConnectionBanner } from "./connection.tsx";
import { CostsPanel } from "../panels/costs.tsx";
import { EmptyPool } from "./empty.tsx";
import { ExecutionDetail } from "../details/execution.tsx";
import { ExecutionsPanel } from "../panels/executions.tsx";
import { Header } from "./header.tsx";
import { KeysPanel } from "../panels/keys.tsx";
import { LatencyPanel } from "../panels/latency.tsx";
import { OwnPanel } from "../panels/own.tsx";
import { SessionsPanel } from "../panels/sessions.tsx";
import { SignIn } from "./sign_in.tsx";
import { SubscriptionDetail } from "../details/subscription.tsx";
import { SubscriptionsPanel } from "../panels/subscriptions.tsx";
import { TokensPanel } from "../panels/tokens.tsx";
import { VerdictPanel } from "../panels/verdict.tsx";
import { WindowsPanel } from "../panels/windows.tsx";

export function App() {
  const snapshot = useSnapshot();
  const now = useNow();
  const place = usePlace();
  const [signingIn, setSigningIn] = useState(false);
  const signIn = () => setSigningIn(true);
  if (snapshot.needsKey !== null || signingIn) {
    return <SignIn problem={snapshot.needsKey} done={() => setSigningIn(false)} />;
  }
  const isEmpty = snapshot.pool.value?.subscriptions === 0 && snapshot.pool.value.unheard.length === 0;
  const seesOwnAlone = snapshot.pool.problem?.status === 403;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the figures
      </a>
      <Header snapshot={snapshot} now={now} signIn={signIn} />
      <main id="main" tabIndex={-1}>
        <h1 class="hidden">Claude subscription pool</h1>
        <ConnectionBanner snapshot={snapshot} />
        {isEmpty ? (
          <EmptyPool />
        ) : (
          <>
            {seesOwnAlone ? (
              <div class="row money">
                <CostsPanel snapshot={snapshot} now={now} />
                <OwnPanel snapshot={snapshot} now={now} />
              </div>
            ) : (
              <>
                <div class="row answer">
                  <VerdictPanel snapshot={snapshot} now={now} />
                  <WindowsPanel snapshot={snapshot} now={now} />
                </div>
                <AttentionPanel snapshot={snapshot} now={now} />
                <SubscriptionsPanel snapshot={snapshot} now={now} />
                <div class="row money">
                  <CostsPanel snapshot={snapshot} now={now} />
                  <BurndownPanel snapshot={snapshot} now={now} />
                </div>
              </>
            )}
            <div class="row work">
              <ExecutionsPanel snapshot={snapshot} now={now} />
              <div class="stack">
                <SessionsPanel snapshot={snapshot} now={now} />
                <TokensPanel snapshot={snapshot} />
                <LatencyPanel snapshot={snapshot} />
              </div>
            </div>
          </>
        )}
        <KeysPanel now={now} signIn={signIn} />
      </main>
      {place?.kind === "subscription" && (
        <SubscriptionDetail key={place.id} id={place.id} snapshot={snapshot} now={now} signIn={signIn} />
      )}
      {place?.kind === "execution" && (
        <ExecutionDetail key={place.id} id={place.id} snapshot={snapshot} now={now} signIn={signIn} />
      )}
    </>
  );
}
