/* SPDX-License-Identifier: Apache-2.0 */
/* Limit of an endpoint's text, as in Motr's net/ip.h. */
#ifndef HAX_EMBEDDED_NET_IP_H
#define HAX_EMBEDDED_NET_IP_H

#define M0_NET_IP_STRLEN_MAX 255

#endif
