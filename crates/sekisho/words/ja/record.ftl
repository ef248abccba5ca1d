# 記録からわかること、わからなかったこと。

## 情報源

source-kernel = 稼働中のカーネル
source-sysstat = sysstatの記録
source-kernel-log = カーネルログ
source-journal = systemdジャーナル
source-syslog = syslog
source-apache-config = Apacheの設定
source-nginx-config = nginxの設定
source-php-fpm-config = php-fpmの設定
source-access-log = Webサーバーのアクセスログ
source-error-log = Webサーバーのエラーログ
source-mail-log = Postfixのログ
source-ssh-log = sshdのログ
source-packets = パケットキャプチャ
source-sysctl = カーネルパラメーター（sysctl）
source-processes = プロセス
source-interfaces = ネットワークインターフェイス
source-firewall = ファイアウォールのルール
source-conntrack = コネクション追跡（conntrack）
source-sekisho = Sekisho自身のカウンター
source-pressure = メモリプレッシャー（PSI）

## 調べられなかった理由

why-missing = 見つかりません
why-not-permitted = root権限が必要です
why-not-installed = `{ $value }`がインストールされていません
why-not-supported = このカーネルは対応していません
why-failed = 失敗しました: { $value }
why-not-understood = 解釈できない箇所を{ $pieces }件読み飛ばしました（残りは読めています）
why-lines-too-long = 長すぎる行が{ $lines }行あり、先頭部分だけを読みました
why-truncated = { BYTES($bytes) }のところで途切れています
why-too-much = 上限を超えたため、{ $pieces }件を省きました
why-zone-assumed = 時刻にタイムゾーンがないため、{ ZONE($zone_seconds) }とみなしました
why-clock-ahead = ほかの記録より時計が{ SECONDS($seconds) }ほど{ SIGN($seconds) ->
        [negative] 遅れている
       *[other] 進んでいる
    }ようです
why-no-times = 行に日付がなく、いつの記録かわかりません

## 記録の空白

gap-no-samples = 計測値がありません
gap-restart = この間に再起動しています
gap-rotated = 古いファイルはローテーションで消えています
gap-lost = 失われたメッセージがあると、ログ自体に書かれています

## 出来事

server-apache = Apache
server-nginx = nginx
server-php-fpm = php-fpm
service-postfix = Postfix
service-sshd = sshd

event-syn-flooding-message = カーネルが「possible SYN flooding on port { $port }」と出力（{ $cookies ->
        [yes] クッキーを送信
       *[no] 要求を破棄
    }）
event-out-of-memory-kill = { $in_group ->
        [yes] cgroupのメモリ上限に達し、`{ $process }`が強制終了された
       *[no] メモリ不足のため、カーネルが`{ $process }`を強制終了した
    }
event-conntrack-full = conntrackテーブルが満杯になり、パケットが破棄された
event-tcp-memory-full = TCPのメモリが尽きた
event-allocation-failure = カーネルがメモリの割り当てに失敗した
event-stuck = タスクまたはCPUが応答しなくなった
event-transmit-timeout = { $interface ->
        [none] インターフェイス
       *[other] { $interface }
    }の送信キューが停止した
event-link-down = { $interface }がリンクダウン
event-link-up = { $interface }がリンクアップ
event-neighbour-table-full = 近隣テーブル（ARP）が満杯になった
event-firewall-logged = ファイアウォールが{ $port ->
        [none] {""}
       *[other] ポート{ $port }宛ての
    }パケットを記録した（「{ $prefix }」）
event-boot = マシンが起動した
event-clock-set = 時計が合わせられた
event-messages-lost = { $messages ->
        [none] ログに記録されなかったメッセージがある
       *[other] { $messages }件のメッセージがログから漏れた
    }
event-unit-started = { $unit }が起動した
event-unit-stopped = { $unit }が停止した
event-unit-failed = { $unit }が異常終了した{ $result ->
        [none] {""}
       *[other] （{ $result }）
    }
event-workers-exhausted = { $server }の空きワーカーがなくなった{ $limit ->
        [none] {""}
       *[other] （上限{ $limit }）
    }
event-files-exhausted = { $server }のファイルディスクリプターが尽きた
event-backend-timeout = { $server }のバックエンドが時間内に応答しなかった
event-backend-refused = { $server }のバックエンドが接続を拒否した
event-client-too-slow = { $server }が遅いクライアントとの接続を打ち切った
event-worker-died = { $server }のワーカーが異常終了した
event-server-restarted = { $server }が起動または設定を再読み込みした
