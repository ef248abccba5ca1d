# 結論の一文、SYNクッキーとの関係、二つの原因の見分け方。

## 結論（$attacks、$others、$causes、$risksには causes.ftl の原因名が並びます）

verdict-healthy = 調べた範囲では、異常は見つかりませんでした。
verdict-healthy-with-risks = いまのところ異常はありませんが、負荷が高まると{ $risks }が障害につながるおそれがあります。
verdict-nothing-recorded = { $span }の記録に異常は見つかりませんでした。
verdict-attack = 攻撃と判断しました: { $attacks }。
verdict-attack-and-more = 攻撃（{ $attacks }）と判断しました。ただし、攻撃がなくても{ $others }による障害は起こりえます。
verdict-no-attack-needed = 攻撃を想定しなくても、{ $causes }で説明がつきます。
verdict-two-fit = 「{ $one }」と「{ $other }」のどちらでも説明がつきます（見分け方は下にあります）。
verdict-cannot-be-known = 障害またはそれを示すメッセージはありますが、この記録からは原因を判断できません。
verdict-no-record = 指定された時間帯の記録がありません。

## SYNクッキーとの関係

cookies-off = SYNクッキーは無効です。ただし、有効だったとしても結果が変わった形跡はありません。
cookies-off-and-missed = SYNクッキーが無効だったため、被害が出ています。キューが満杯になり、接続要求が{ $dropped }件破棄されました。
cookies-not-needed = SYNクッキーは関係ありません。SYNキューが満杯になったことはなく、クッキーは一度も送られていません。
cookies-helped = SYNクッキーは役に立ちました。キューが満杯のときに{ $sent }個を送り、{ $returned }個が返ってきています。その分だけ正規のクライアントが接続できました。
cookies-held-flood = { $sent ->
        [0] SYNクッキーがポートを守りました（送った数は記録されていません）。
       *[other] SYNクッキーがポートを守りました。{ $sent }個を送り、返ってきたのは{ $returned }個だけです。
    }有効のままにしてください。
cookies-nothing = SYNクッキーは有効ですが、今回の障害とは関係ありません。無効にしても改善しません。
cookies-inert = SYNクッキーは有効ですが、機能していません。必要な場面で送られていないか、正しく返ってきたものがありません。
cookies-always = SYNクッキーがすべての接続に使われています（tcp_syncookies = 2）。キューに空きがあってもTCPオプションが失われ、得るものがありません。
cookies-unknown = SYNクッキーが関係していたかどうかは、この記録からはわかりません。

## 見分け方

distinction-completions = ハンドシェイクが完了するかどうか。フラッドでは完了せず、正規のクライアントなら完了します。パケットキャプチャ、またはSYNの数とPassiveOpensの比較でわかります。
distinction-cookies-return = クッキーが返ってくるかどうか。正規のクライアントからは返ってきます（SyncookiesSentとSyncookiesRecvを比べます）。
distinction-syn-acks-again = SYN-ACKが再送されているかどうか。応答しない相手にはカーネルが再送し、詐称されたアドレスが応答することはありません（TCPSynRetrans）。
distinction-requests = アクセスログのリクエストも増えているかどうか。本物のアクセス集中なら増え、SYNフラッドなら増えません。
distinction-packet-kinds = どのようなパケットが届いているか。サーバーのポートからのSYN-ACKならリフレクション、SYNだけならフラッドです。パケットキャプチャでわかります。
distinction-requests-on-connections = 接続のあとにリクエストが届くかどうか。利用者なら何かを要求しますが、接続フラッドは何も送ってきません。
distinction-memory-first = どちらが先に起きたか。ワーカーが尽きる前にメモリが不足していればメモリが原因で、あとであれば結果です。
distinction-sources = 送信元が少数かどうか。企業や携帯キャリアのNATであれば接続は完了しますが、攻撃者の接続は完了しません。

## 確からしさと役割

confidence-certain = 確実
confidence-likely = 可能性が高い
confidence-possible = 可能性あり

role-main = 主な原因
role-contributing = 一因
role-standing = 潜在的なリスク（被害は見られない）
