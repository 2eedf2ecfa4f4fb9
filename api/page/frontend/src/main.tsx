import { render } from "preact";

import { Client } from "./api/client.ts";
import { App } from "./frame/app.tsx";
import { Around } from "./state/hooks.ts";
import { KeyHolder } from "./state/key.ts";
import { Live } from "./state/live.ts";
import { applyTheme, themeNow } from "./state/theme.ts";

applyTheme(themeNow());
const key = new KeyHolder();
const live = new Live(new Client(() => key.get()));
live.start();
addEventListener("visibilitychange", () => {
  if (!document.hidden) live.refresh();
});

const root = document.getElementById("page");
if (root !== null) {
  render(
    <Around.Provider value={{ live, key }}>
      <App />
    </Around.Provider>,
    root,
  );
}
